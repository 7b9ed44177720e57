package lab

import (
	"context"
	"fmt"
	"os"
)

const keeperLog = "keeper.log"

// startKeeper starts the keeper, records it, and only then lets it begin: a keeper that nobody has recorded reads the end of its orders
// and ends.
func (l *Lab) startKeeper(ctx context.Context) (orders, answer *os.File, err error) {
	cmd, err := stageCommand(stageKeeper, "pgfleet-lab-keeper "+l.state.Name, keeperFlags)
	if err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(l.state.path("log", keeperLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open keeper's log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	ordersIn, orders, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	defer ordersIn.Close()
	answer, answerOut, err := os.Pipe()
	if err != nil {
		orders.Close()
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	defer answerOut.Close()
	network, err := os.Open("/proc/self/ns/net")
	if err != nil {
		orders.Close()
		answer.Close()
		return nil, nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer network.Close()
	cmd.ExtraFiles = []*os.File{ordersIn, answerOut, network}
	if err = ctx.Err(); err == nil {
		err = cmd.Start()
	}
	if err == nil {
		l.keeper, l.waited = cmd, make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(l.waited)
		}()
		err = l.release(orders)
	}
	if err != nil {
		orders.Close()
		answer.Close()
		return nil, nil, fmt.Errorf("start keeper: %w", err)
	}
	return orders, answer, nil
}

// release records the keeper and tells it what to make.
func (l *Lab) release(orders *os.File) (err error) {
	if l.state.Keeper, err = record(l.keeper.Process.Pid); err != nil {
		return fmt.Errorf("record keeper: %w", err)
	}
	if err := l.state.save(); err != nil {
		return err
	}
	return send(orders, l.state)
}
