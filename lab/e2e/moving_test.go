package e2e_test

import (
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// shop has the application's OS user hold a connection open until it is told to end. serial is what the server knows then of its certificate: "none" or "some".
func (f *fleet) shop(t *testing.T, conninfo, serial string) (end func()) {
	t.Helper()
	const open = " from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'shop'"
	go func() {
		_, _ = f.try(t.Context(), "app1", "postgres", "env", "-i", "HOME="+home, "PGAPPNAME=shop", psqlPath, "-XAtqw", "-d", conninfo, "-c", "select pg_sleep(600)")
	}()
	waitFor(t, func() bool {
		return f.sql(t, "db1", "select case when client_serial is null then 'none' else 'some' end"+open) == serial
	})
	return func() {
		f.sql(t, "db1", "select pg_terminate_backend(pid)"+open)
		waitFor(t, func() bool { return f.sql(t, "db1", "select count(*)"+open) == "0" })
	}
}

// TestMovingAnApplication follows docs/applications.md: an application that logs in by password stops servers from insisting until it shows its certificate.
func TestMovingAnApplication(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	f.application(t, "db1", "app1")
	before := f.sh(t, "db1", "cat /etc/postgresql/15/main/pg_hba.conf")
	byPassword := "host=" + f.addr(t, "db1") + " user=dbuser1 dbname=postgres password=" + oldPassword
	end := f.shop(t, byPassword, "none")
	says := []string{"session open now: role dbuser1, database postgres, from " + f.addr(t, "app1"), "have them use their service"}
	f.want(t, 2, says, "run", shipped)
	f.want(t, 2, says, "run", shipped)
	if after := f.sh(t, "db1", "cat /etc/postgresql/15/main/pg_hba.conf"); after != before {
		t.Errorf("rules were changed:\n%s", after)
	}
	if err := f.byPassword(t, "db1", "app1"); err != nil {
		t.Errorf("nobody is refused yet: %v", err)
	}
	f.want(t, 0, nil, "run", shipped, "-e", "enforce=permissive")
	end()
	end = f.shop(t, "service=dbuser1@db1 dbname=postgres password="+oldPassword, "some")
	f.finishes(t)
	end()
	if err := f.byService(t, "db1", "app1"); err != nil {
		t.Error(err)
	}

	f.reset(t)
	f.application(t, "db1", "app1")
	defer f.shop(t, byPassword, "none")()
	f.want(t, 0, nil, "run", shipped, "--accept-refusals")
}
