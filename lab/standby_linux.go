package lab

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// replicatorPassword is that of user replicator, as which standbys stream until they have certificates.
const replicatorPassword = "replicator-lab-password"

// primaryProgram lets standbys in: by password, as most are before there is mutual TLS; it keeps the log that they have not seen. $1 version, $2 password.
const primaryProgram = `set -e
printf '# Standbys.\nhost    replication     replicator      10.88.0.0/16            scram-sha-256\n' >>"/etc/postgresql/$1/main/pg_hba.conf"
keep="wal_keep_size = '128MB'"
if [ "$1" = 12 ]; then keep='wal_keep_segments = 8'; fi
su postgres -c 'psql -q' <<SQL
alter system set $keep;
alter system set wal_retrieve_retry_interval = '500ms';
set password_encryption = 'scram-sha-256';
create role replicator login replication password '$2';
select pg_reload_conf();
SQL
`

// standbyProgram makes a cluster anew, as a copy of the primary's. $1 version, $2 the primary's address, $3 password.
const standbyProgram = `set -e
data=/var/lib/postgresql/$1/main
# An installation without it: that of another version, which may be newer than the server.
for copy in /usr/lib/postgresql/*/bin/pg_basebackup "/usr/lib/postgresql/$1/bin/pg_basebackup"; do
  if [ -x "$copy" ]; then basebackup=$copy; fi
done
pg_ctlcluster -m fast "$1" main stop
umask 077
printf '*:*:*:replicator:%s\n' "$3" >/var/lib/postgresql/.pgpass
chown postgres:postgres /var/lib/postgresql/.pgpass
rm -rf "$data"
su postgres -c "env HOME=/var/lib/postgresql '$basebackup' -R -c fast --no-sync -D '$data' \
  -d 'host=$2 user=replicator application_name=$(hostname -s) passfile=/var/lib/postgresql/.pgpass'"
pg_ctlcluster "$1" main start
`

// makeStandbys gives the last database servers copies of the first one's cluster, that stream from it.
func (l *Lab) makeStandbys(ctx context.Context, o Options) error {
	var servers []Host
	for _, h := range l.state.Hosts {
		if h.Role == DBServer {
			servers = append(servers, h)
		}
	}
	if l.state.Standby == 0 {
		return nil
	}
	primary := servers[0]
	step(o, "%s is the primary of %d standbys", primary.Short, l.state.Standby)
	if err := l.shell(ctx, primary, primaryProgram, primary.Version, replicatorPassword); err != nil {
		return err
	}
	var wg sync.WaitGroup
	copied := make([]error, len(servers))
	for i, h := range servers[len(servers)-l.state.Standby:] {
		wg.Go(func() { copied[i] = l.shell(ctx, h, standbyProgram, h.Version, primary.Addr, replicatorPassword) })
	}
	wg.Wait()
	for _, err := range copied {
		if err != nil {
			return err
		}
	}
	return nil
}

// shell runs a program of ours in a host.
func (l *Lab) shell(ctx context.Context, h Host, program string, args ...string) error {
	out, err := l.Exec(ctx, h.Short, append([]string{"sh", "-c", program, "sh"}, args...), nil)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", out.Code, strings.TrimSpace(out.Stdout+out.Stderr))
	}
	if err != nil {
		return fmt.Errorf("replication on %s: %w", h.Short, err)
	}
	return nil
}
