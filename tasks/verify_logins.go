package tasks

// logins are the tests that must connect.
func (c *pairContext) logins(v *verify) []verifyCase {
	if v.tlsOnly() || c.stage == "permissive" {
		t := c.test("verify-full", afterTLS)
		t.tlsOnly = true
		return []verifyCase{t}
	}
	want := []outcome{connects}
	if c.replication {
		return []verifyCase{c.test("replication", want)}
	}
	if c.anyDatabase {
		// The database postgres is only what a test has to name. Servers look at it after the login, and many let few people in there.
		want = append(want, databaseClosed, databaseMissing)
	}
	login := c.test("login", want)
	if c.stage == "cert" || c.stage == "verify-full" || c.stage == "verify-ca" {
		login.serial = c.serial
	}
	login.needsPassword, login.password = c.stage != "cert", c.password
	list := []verifyCase{login}
	if v.Level != "full" {
		return list
	}
	ca := c.test("verify-ca", want, keyword{"sslmode", "verify-ca"})
	ca.needsPassword, ca.password = login.needsPassword, c.password
	list = append(list, ca)
	for _, name := range c.names {
		if name == c.service.Host {
			continue
		}
		t := c.test("name "+name, want, keyword{"host", name})
		if c.addr != "" {
			t = c.test("name "+name, want, keyword{"host", name}, keyword{"hostaddr", c.addr})
		}
		t.needsPassword, t.password = login.needsPassword, c.password
		list = append(list, t)
	}
	return list
}

// refusals are the tests that must not connect, each for its own reason.
func (c *pairContext) refusals() []verifyCase {
	none := c.service.HomeDir + "/.postgresql/pgfleet/none"
	if c.replication {
		return []verifyCase{c.test("replication no-tls", []outcome{ruleRefuses}, keyword{"sslmode", "disable"}),
			c.test("replication no-certificate", []outcome{certWanted}, keyword{"sslcert", none}, keyword{"sslkey", none})}
	}
	list := []verifyCase{c.test("no-tls", []outcome{ruleRefuses}, keyword{"sslmode", "disable"})}
	if c.service.Files.Cert != "" {
		list = append(list, c.test("wrong-root", []outcome{serverUntrusted}, keyword{"sslrootcert", c.service.Files.Cert}))
	}
	if c.addr != "" {
		list = append(list, c.test("wrong-name", []outcome{nameDiffers}, keyword{"host", "pgfleet.invalid"}, keyword{"hostaddr", c.addr}))
	}
	if c.stage == "password" {
		return list
	}
	list = append(list, c.test("no-certificate", []outcome{certWanted}, keyword{"sslcert", none}, keyword{"sslkey", none}))
	if len(c.others) > 0 && c.stage == "cert" {
		list = append(list, c.test("other-user", []outcome{certAuthFailed}, keyword{"user", c.others[0].name}, keyword{"dbname", c.others[0].db}))
	}
	return list
}
