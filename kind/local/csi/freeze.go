// Freezing the mounted file system of a volume: what was written is on its disk then, and nothing more is written.

package main

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// From linux/fs.h, which golang.org/x/sys does not have.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// freeze lets nothing be written to the file system in that image until thaw is called. An image that is not mounted needs none.
func freeze(image string) (thaw func(), err error) {
	path, err := mountOf(image)
	if path == "" || err != nil {
		return func() {}, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetInt(int(dir.Fd()), fiFreeze, 0); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() {
		if err := unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0); err != nil {
			log.Printf("thawing %s: %v", path, err)
		}
		dir.Close()
	}, nil
}

// mountOf is where the file system in that image is mounted, or "".
func mountOf(image string) (string, error) {
	mounts, err := loopMounts()
	for _, m := range mounts {
		if m.image == image {
			return m.path, err
		}
	}
	return "", err
}

type loopMount struct{ image, path string }

// loopMounts lists the images that are mounted; one that is bound into pods is there several times.
func loopMounts() (mounts []loopMount, err error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[2], "7:") { // the major number of loop devices
			continue
		}
		image, err := os.ReadFile(filepath.Join("/sys/dev/block", fields[2], "loop/backing_file"))
		if err == nil { // else it was unmounted meanwhile
			mounts = append(mounts, loopMount{strings.TrimSpace(string(image)), fields[4]})
		}
	}
	return mounts, nil
}

// thawAll ends what a driver that was killed in the middle of a group left frozen: its pods would wait for ever.
func (d *driver) thawAll() error {
	mounts, err := loopMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if filepath.Dir(m.image) != filepath.Join(d.dir, "volumes") {
			continue
		}
		dir, err := os.Open(m.path)
		if err != nil {
			return err
		}
		err = unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0)
		dir.Close()
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it was not frozen
			return err
		}
	}
	return nil
}
