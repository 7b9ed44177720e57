package tasks

import (
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

// One process less is a millisecond less for every server, and a step costs three before it does anything.

var (
	postgresSettingsShell = postgresLib + undoCopyProgram + postgresSettingsProgram
	postgresHBAShell      = postgresLib + undoCopyProgram + postgresHBAProgram
)

// Joined gives one step that does the work of two that follow each other in a round trip: of two that replace the same settings file, which is then replaced once,
// after the checks of both; of one that changes a cluster's files and the reload that follows it. ok is false for all others. Where it fails, the two steps can still be sent one by one, which
// tells which of them it was.
func Joined(first, next transport.Step) (_ transport.Step, ok bool) {
	if first.User != "" || next.User != "" || len(first.Argv) == 0 || len(next.Argv) == 0 || first.Argv[0] != next.Argv[0] {
		return first, false
	}
	if first.Shell == postgresSettingsShell && next.Shell == postgresSettingsShell {
		return joinedSettings(first, next)
	}
	reload, ok := strings.CutPrefix(next.Shell, postgresLib+postgresReloadProgram)
	if !ok {
		return first, false
	}
	// What is left of a program's own words at its end is not the reload's.
	switch {
	case first.Shell == postgresSettingsShell && len(first.Argv) > atCert:
		first.Shell += "shift 5\n"
	case first.Shell == postgresHBAShell:
		first.Shell += "shift 3\n"
	default:
		return first, false
	}
	first.Shell += postgresReloadProgram + reload
	first.Argv = slices.Concat(first.Argv, next.Argv[1:])
	return first, true
}

// Places of words of postgres_settings.sh. Those from atCert on are not there where the program itself asks which files there are.
const (
	atInclude = iota + 7
	atChain
	atFiles
	atCert
	atKey
	atCA
	atCRL
)

// joinedSettings writes what next would, which has the settings of first too, and checks the files of both. See startFiles.
func joinedSettings(first, next transport.Step) (transport.Step, bool) {
	was, argv := first.Argv, slices.Clone(next.Argv)
	if len(was) != len(argv) || !slices.Equal(was[:atInclude], argv[:atInclude]) {
		return first, false
	}
	if was[atInclude] == "yes" {
		argv[atInclude] = "yes"
	}
	if len(argv) <= atCert {
		if argv[atChain] == "" {
			argv[atChain] = was[atChain]
		}
	} else {
		if was[atFiles] == "known" {
			argv[atFiles] = "known"
		}
		if argv[atCert] == "" {
			argv[atCert], argv[atKey], argv[atChain] = was[atCert], was[atKey], was[atChain]
		}
		if argv[atCA] == "" && argv[atCRL] == "" {
			argv[atCA], argv[atCRL] = was[atCA], was[atCRL]
		}
	}
	next.Argv = argv
	return next, true
}
