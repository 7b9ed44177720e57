package tasks

import "errors"

func parseClusters(out []byte) ([]*Cluster, error) { return nil, errors.New("not read yet") }
