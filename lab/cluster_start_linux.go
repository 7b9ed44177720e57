package lab

import "path/filepath"

// startCluster starts PostgreSQL. Debian's pg_ctlcluster knows what users may have configured, and waits in steps of half a second; on the
// first boot of the machine's own, where nothing is configured, what it would call is enough.
func startCluster(order bootOrder, r *reaper) error {
	version := order.Host.Version
	if !order.First || order.Host.Installation != "" {
		return r.run("/usr/bin/pg_ctlcluster", version, "main", "start")
	}
	// Without HOME, as pg_ctlcluster does it: libpq in the server, for subscriptions and foreign servers, then reads the services of the server's OS user.
	return r.run("/usr/bin/env", "-u", "HOME", "/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--",
		filepath.Join("/usr/lib/postgresql", version, "bin/pg_ctl"), "start", "-s", "-w",
		"-D", filepath.Join("/var/lib/postgresql", version, "main"),
		"-l", "/var/log/postgresql/postgresql-"+version+"-main.log",
		"-o", " -c config_file=\"/etc/postgresql/"+version+"/main/postgresql.conf\"  -c external_pid_file=\"/var/run/postgresql/"+version+"-main.pid\" ")
}
