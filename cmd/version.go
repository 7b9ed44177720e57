package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

func newVersion(sys *System) *command {
	return &command{Command: &cli.Command{
		Name: "version", Usage: "Print the version and how this program was built",
		Action: func(c *cli.Context) error {
			if err := wantArguments(c); err != nil {
				return err
			}
			return printVersion(sys)
		},
	}}
}

func printVersion(sys *System) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	_, err := fmt.Fprint(sys.Out, versionText(info))
	return err
}

// versionText gives the version, the commit it was built from, and the platform. A build outside a release has the version (devel).
func versionText(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	out := "pgfleet " + version + "\n"
	if rev := set["vcs.revision"]; rev != "" {
		out += "commit " + rev
		if t := set["vcs.time"]; t != "" {
			out += " of " + t
		}
		if set["vcs.modified"] == "true" {
			out += ", with local changes"
		}
		out += "\n"
	}
	return out + fmt.Sprintf("%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
