package cmd

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/playbooks"
)

//go:embed templates/inventory.yaml
var inventoryTemplate []byte

// initOptions is what pgfleet init was asked for.
type initOptions struct{ dir string }

func newInit(sys *System) *command {
	o := &initOptions{}
	return &command{
		Command: &cli.Command{
			Name: "init", Usage: "Write an inventory and playbooks to start from", ArgsUsage: "[DIR]",
			Description: "Writes inventory.yaml, and into playbooks the playbooks that are part of the program, for you to read and change, into DIR, or here. " +
				"A file that is there is never overwritten.",
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "[DIR]"); err != nil {
					return err
				}
				o.dir = c.Args().First()
				return o.run(sys)
			},
		},
		examples: `pgfleet init
			pgfleet init fleet`,
	}
}

// starter is one file to start from.
type starter struct {
	path string
	text []byte
}

func (o *initOptions) run(sys *System) error {
	files := []starter{{"inventory.yaml", inventoryTemplate}}
	for _, name := range playbooks.Shipped() {
		text, ok := playbooks.ShippedSource(name)
		if !ok {
			return fmt.Errorf("read shipped playbook %s: it is not there", name)
		}
		files = append(files, starter{filepath.Join("playbooks", name+".yaml"), text})
	}
	if o.dir != "" {
		for i := range files {
			files[i].path = filepath.Join(o.dir, files[i].path)
		}
	}
	var kept bool
	for _, f := range files {
		wrote, err := writeNew(f.path, f.text)
		switch {
		case err != nil:
			return &usageError{text: err.Error()}
		case wrote:
			fmt.Fprintln(sys.Out, "wrote "+f.path)
		default:
			kept = true
			fmt.Fprintln(sys.Out, "kept  "+f.path+" (it was there)")
		}
	}
	if kept {
		fmt.Fprintln(sys.Err, "notice: files that were there are as they were; pgfleet init never overwrites")
	}
	cd := ""
	if o.dir != "" {
		cd = fmt.Sprintf("  cd %s\n", o.dir)
	}
	fmt.Fprintf(sys.Err, "\nNext: put your hosts into %s, then\n%s"+
		"  pgfleet trust --all\n  pgfleet run --check --diff playbooks/mtls.yaml\n  pgfleet run playbooks/mtls.yaml\n", files[0].path, cd)
	return nil
}

// writeNew writes a file that is not there yet, and its folder; wrote is false when it was there.
func writeNew(path string, text []byte) (wrote bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, fmt.Errorf("make folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write: %w", err)
	}
	_, err = f.Write(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return true, fmt.Errorf("write %s: %w", path, err)
	}
	return true, nil
}
