package tasks

import (
	"fmt"
	"strings"
	"testing"
)

// A server with a role, a database and lines of pg_hba.conf for each of thousands of customers is judged at once, and so are tens of thousands of roles whom the same rules fit.
func TestJudgesManyRolesAndRules(t *testing.T) {
	const customers, others = 1000, 5000
	var file strings.Builder
	file.WriteString("local all postgres peer\nhost all all 127.0.0.1/32 scram-sha-256\n")
	c := &Cluster{Major: 15, Roles: []Role{{Name: "postgres", Login: true, Superuser: true}}, Databases: []string{"postgres"}}
	for i := range customers {
		fmt.Fprintf(&file, "host db%d customer%d 10.%d.%d.0/24 scram-sha-256\nhost db%d all 192.168.7.%d/32 scram-sha-256\n", i, i, i/250, i%250, i, i%250)
		c.Roles = append(c.Roles, Role{Name: fmt.Sprintf("customer%d", i), Login: true, Groups: []string{"customers"}})
		c.Databases = append(c.Databases, fmt.Sprintf("db%d", i))
	}
	for i := range others {
		c.Roles = append(c.Roles, Role{Name: fmt.Sprintf("person%d", i), Login: true})
	}
	before := file.String()
	w := &hbaWork{c: c, h: &Host{Name: "db1", Fleet: &Fleet{Hosts: map[string]*Host{}}}, before: before,
		after: strings.Replace(before, "host db999 customer999 10.3.249.0/24 scram-sha-256\n", "", 1)}
	if before == w.after {
		t.Fatal("nothing was taken out")
	}
	got, err := w.shutOut()
	if want := "\n  role customer999 from 10.3.249.0 to database db999: admitted now by line 2001: host db999 customer999 10.3.249.0/24 scram-sha-256\n"; err != nil || len(got) != 1 ||
		!strings.Contains(got[0], want) || strings.Count(got[0], "\n  role ") != 1 {
		t.Errorf("%q %v", got, err)
	}
	w.after = strings.Replace(before, "host db17 all 192.168.7.17/32", "host db17 all 192.168.7.18/32", 1)
	if got, err := w.shutOut(); err != nil || len(got) != 1 || !strings.Contains(got[0], "\n  role customer0 from 192.168.7.17 to database db17: ") ||
		strings.Count(got[0], "\n  role ") != mostNamed || !strings.Contains(got[0], fmt.Sprintf("\n  and %d more\n", 1+customers+others-mostNamed)) {
		t.Errorf("%.400q %v", got, err)
	}
}
