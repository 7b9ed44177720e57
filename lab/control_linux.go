package lab

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The control sockets are in the state folder's run/, which only root may enter: one of the keeper, one a host. A message is its length
// (4 bytes, big endian) and that much JSON; a request to a host carries the three standard files.

const maxMessage = 16 << 20

// listenAt makes a socket; the path may be longer than a socket address (108 bytes).
func listenAt(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace socket: %w", err)
	}
	var l *net.UnixListener
	err := shortly(path, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func dialAt(path string) (*net.UnixConn, error) {
	var c *net.UnixConn
	err := shortly(path, func(short string) (err error) {
		c, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	return c, err
}

// shortly calls with a short name of the path, through its open folder.
func shortly(path string, call func(string) error) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Dir(path), err)
	}
	defer unix.Close(fd)
	return call(fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path)))
}

// sendMessage sends a value, with files.
func sendMessage(c *net.UnixConn, value any, files ...*os.File) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix(head, rights, nil); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	if _, err := c.Write(text); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// receiveMessage reads a value and the files that came with it, which the caller closes.
func receiveMessage(c *net.UnixConn, value any) ([]int, error) {
	head, rights := make([]byte, 4), make([]byte, unix.CmsgSpace(3*4))
	n, rightsN, _, _, err := c.ReadMsgUnix(head, rights)
	if err != nil {
		return nil, fmt.Errorf("receive message: %w", err)
	}
	files, err := filesIn(rights[:rightsN])
	if err != nil {
		return files, err
	}
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return files, fmt.Errorf("receive message: %w", err)
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxMessage {
		return files, fmt.Errorf("receive message: %d bytes, the limit is %d", size, maxMessage)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(c, text); err != nil {
		return files, fmt.Errorf("receive message: %w", err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return files, fmt.Errorf("receive message: %w", err)
	}
	return files, nil
}

func filesIn(rights []byte) ([]int, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("receive files: %d control messages: %w", len(messages), err)
	}
	files, err := unix.ParseUnixRights(&messages[0])
	for _, fd := range files {
		unix.CloseOnExec(fd)
	}
	return files, err
}
