package lab_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// childVariable makes this test binary call Up for the lab in its folder, and be killed at it.
const childVariable = "PGFLEET_LAB_TEST_CHILD"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childVariable); folder != "" {
		os.Exit(child(folder))
	}
	os.Exit(m.Run())
}

// child makes a lab; then, when it is tied, it waits to be killed.
func child(folder string) int {
	tied := os.Getenv(childVariable+"_TIED") != ""
	_, err := lab.Up(context.Background(), lab.Options{Name: os.Getenv(childVariable + "_NAME"), Folder: folder, DB: 1, Client: 1, Tied: tied})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("up")
	if tied {
		select {}
	}
	return 0
}
