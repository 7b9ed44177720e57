package postgres

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// since says from which major version on a setting exists; those that are not here exist in every version that pgfleet
// knows, or are not its business (guc_tables.c of 12 to 18).
var since = map[string]int{
	"ssl_crl_dir": 14, "ssl_groups": 18, "ssl_tls13_ciphers": 18, "ssl_sni": 19, "hosts_file": 19,
}

// instead says what to do where a version lacks a setting.
var instead = map[string]string{
	"ssl_crl_dir":       "use ssl_crl_file, which every version has",
	"ssl_groups":        "use ssl_ecdh_curve with one curve, such as prime256v1",
	"ssl_tls13_ciphers": "the suites of TLS 1.3 cannot be chosen there, and all of them are good; ssl_ciphers is for those of TLS 1.2 and below",
}

// alias gives names that a later version has replaced, and from which on. It takes the old one too, but tells of the new one only.
var alias = map[string]struct {
	name string
	from int
}{"ssl_ecdh_curve": {"ssl_groups", 18}}

// Canonical is the name by which a version tells of a setting.
func Canonical(name string, major int) string {
	if a, ok := alias[name]; ok && major >= a.from {
		return a.name
	}
	return name
}

// ForVersion gives settings under the names that a version tells of.
func ForVersion(set map[string]string, major int) map[string]string {
	out := make(map[string]string, len(set))
	for name, value := range set {
		out[Canonical(name, major)] = value
	}
	return out
}

// atStart are settings that a reload does not change (context postmaster).
var atStart = map[string]bool{
	"listen_addresses": true, "port": true, "max_connections": true, "shared_buffers": true, "unix_socket_directories": true, "hosts_file": true,
	"wal_level": true, "max_wal_senders": true, "shared_preload_libraries": true,
}

// places are settings that say where files are: they cannot stand in an included file that is found through them.
var places = map[string]bool{"config_file": true, "data_directory": true, "hba_file": true, "ident_file": true, "external_pid_file": true}

// CheckSettingName refuses what no setting can be called.
func CheckSettingName(name string) error {
	if name == "" {
		return fmt.Errorf("a setting without a name")
	}
	for i := 0; i < len(name); i++ {
		if !isNameByte(name[i], i == 0) {
			return fmt.Errorf("%q is not the name of a setting", name)
		}
	}
	return nil
}

// CheckSetting refuses a setting that the version lacks, or that does not belong in a file of ours. A server meets an unknown name by
// ignoring the whole file, and does not start with it.
func CheckSetting(name, value string, major int) error {
	if err := CheckSettingName(name); err != nil {
		return err
	}
	switch from := since[name]; {
	case major > 0 && from > major:
		text := fmt.Sprintf("%s exists from PostgreSQL %d on, this is %d", name, from, major)
		if instead[name] != "" {
			text += ": " + instead[name]
		}
		return fmt.Errorf("%s", text)
	case name == "ssl_renegotiation_limit" || name == "ssl_library":
		return fmt.Errorf("%s cannot be set", name)
	case places[name] || IsInclude(name):
		return fmt.Errorf("%s cannot stand in a file that is itself included; set it in postgresql.conf", name)
	case strings.ContainsAny(value, "\x00"):
		return fmt.Errorf("%s: the value holds a zero byte", name)
	}
	if name == "ssl_ecdh_curve" && major < 18 {
		return checkCurve(value, major)
	}
	return checkKnownValue(name, value)
}

// checkCurve refuses what PostgreSQL before 18 takes for no curve: it writes so into its log, goes on with what it had, and does not start again. major 0 is any.
func checkCurve(value string, major int) error {
	switch {
	case value == "":
		return fmt.Errorf("ssl_ecdh_curve: an empty value is no curve; the default is prime256v1")
	case major == 0, value != "X25519" && value != "X448" && !strings.HasPrefix(value, "P-") && !strings.Contains(value, ":"):
		return nil
	}
	return fmt.Errorf("ssl_ecdh_curve: %q: PostgreSQL %d takes one curve of those that openssl ecparam -list_curves lists, such as prime256v1 or secp384r1", value, major)
}

// tlsVersions in order, as ssl_min_protocol_version takes them.
var tlsVersions = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

func checkKnownValue(name, value string) error {
	switch name {
	case "ssl", "ssl_prefer_server_ciphers", "ssl_passphrase_command_supports_reload", "ssl_sni":
		if _, ok := readBool(value); !ok {
			return fmt.Errorf("%s: %q is neither on nor off", name, value)
		}
	case "ssl_min_protocol_version", "ssl_max_protocol_version":
		if name == "ssl_max_protocol_version" && value == "" {
			return nil
		}
		for _, v := range tlsVersions {
			if strings.EqualFold(v, value) {
				return nil
			}
		}
		return fmt.Errorf("%s: %q is not one of %s", name, value, strings.Join(tlsVersions, ", "))
	}
	return nil
}

// CheckAliases refuses a setting that is given under both of its names.
func CheckAliases(set map[string]string) error {
	for old, a := range alias {
		_, both := set[old]
		if _, ok := set[a.name]; ok && both {
			return fmt.Errorf("%s and %s are the same from PostgreSQL %d on, and %s is not known before: give %s alone", old, a.name, a.from, a.name, old)
		}
	}
	return nil
}

// CheckVersions refuses a highest TLS version below the lowest.
func CheckVersions(set map[string]string) error {
	low, high := versionIndex(set["ssl_min_protocol_version"]), versionIndex(set["ssl_max_protocol_version"])
	if low >= 0 && high >= 0 && high < low {
		return fmt.Errorf("ssl_max_protocol_version %s is below ssl_min_protocol_version %s", set["ssl_max_protocol_version"], set["ssl_min_protocol_version"])
	}
	return nil
}

func versionIndex(value string) int {
	for i, v := range tlsVersions {
		if strings.EqualFold(v, value) {
			return i
		}
	}
	return -1
}

// NeedsRestart tells whether a setting takes effect only when the server starts, as far as is known without asking it.
func NeedsRestart(name string) bool { return atStart[name] }

// readBool reads what PostgreSQL takes as a boolean: on, off, true, false, yes, no, 1, 0, or an unambiguous start of them.
func readBool(value string) (on, ok bool) {
	v := strings.ToLower(value)
	if v == "" {
		return false, false
	}
	switch {
	case strings.HasPrefix("true", v), strings.HasPrefix("yes", v), v == "on", v == "1":
		return true, true
	case strings.HasPrefix("false", v), strings.HasPrefix("no", v), len(v) > 1 && strings.HasPrefix("off", v), v == "0":
		return false, true
	}
	return false, false
}

// units in their base unit: bytes for memory, microseconds for time (manual, 20.1.1).
var units = map[string]float64{
	"B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "16MB": 16 << 20, "GB": 1 << 30, "TB": 1 << 40,
	"us": 1, "ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6, "d": 86400e6,
}

// SameValue tells whether a value as written means what pg_settings shows for a setting of this type (vartype) and unit.
func SameValue(kind, unit, written, shown string) bool {
	if written == shown {
		return true
	}
	switch kind {
	case "bool":
		a, ok1 := readBool(written)
		b, ok2 := readBool(shown)
		return ok1 && ok2 && a == b
	case "enum":
		return strings.EqualFold(written, shown)
	case "integer", "real":
		a, ok1 := readAmount(written, unit)
		b, ok2 := readAmount(shown, unit)
		return ok1 && ok2 && a == b
	}
	return false
}

// readAmount reads "128MB", "1 min", "16384" (in the setting's own unit).
func readAmount(text, unit string) (float64, bool) {
	text = strings.TrimSpace(text)
	n := strings.LastIndexAny(text, "0123456789.") + 1
	number, err := strconv.ParseFloat(text[:n], 64)
	if err != nil {
		i, err := strconv.ParseInt(text[:n], 0, 64)
		if err != nil {
			return 0, false
		}
		number = float64(i)
	}
	suffix := strings.TrimSpace(text[n:])
	if suffix == "" {
		suffix = unit
	}
	if suffix == "" {
		return number, true
	}
	factor, ok := units[suffix]
	return number * factor, ok
}

// Names gives the names of a set of settings in order.
func Names(set map[string]string) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
