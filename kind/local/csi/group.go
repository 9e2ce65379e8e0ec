// Group snapshots: the images of several volumes, copied while none of their file systems is written to.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (d *driver) groupNote(id string) string { return filepath.Join(d.dir, "groups", id+".json") }

// group is the note of a group snapshot; it is written last, and without it the group does not exist.
type group struct {
	Sources []string // sorted
	Members []string
	Cut     time.Time
	ReadyAt time.Time
}

func (d *driver) readGroup(id string) (g group, err error) {
	text, err := os.ReadFile(d.groupNote(id))
	if err != nil {
		return g, err
	}
	return g, json.Unmarshal(text, &g)
}

func (d *driver) groupMessage(id string, g group) (*csi.VolumeGroupSnapshot, error) {
	message := &csi.VolumeGroupSnapshot{
		GroupSnapshotId: id, CreationTime: timestamppb.New(g.Cut), ReadyToUse: !time.Now().Before(g.ReadyAt),
	}
	for _, member := range g.Members {
		s, err := d.readSnapshot(member)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "member %s of %s: %v", member, id, err)
		}
		message.Snapshots = append(message.Snapshots, s.message(member))
	}
	return message, nil
}

func (d *driver) GroupControllerGetCapabilities(context.Context, *csi.GroupControllerGetCapabilitiesRequest) (*csi.GroupControllerGetCapabilitiesResponse, error) {
	return &csi.GroupControllerGetCapabilitiesResponse{Capabilities: []*csi.GroupControllerServiceCapability{{
		Type: &csi.GroupControllerServiceCapability_Rpc{Rpc: &csi.GroupControllerServiceCapability_RPC{
			Type: csi.GroupControllerServiceCapability_RPC_CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT,
		}},
	}}}, nil
}

// groupFaults are the parameters of a VolumeGroupSnapshotClass that tests use (kind/README.md says what each does).
// An index counts the volumes in the order of their ids.
type groupFaults struct {
	cutAfter, readyAfter, membersReadyAfter time.Duration
	noFreeze                                bool
	failMember, leaveOut                    int // an index, or -1
}

func readGroupFaults(parameters map[string]string) (groupFaults, error) {
	faults := groupFaults{failMember: -1, leaveOut: -1}
	for key, value := range parameters {
		var err error
		switch key {
		case "fail":
			return faults, status.Error(codes.Internal, value)
		case "cut-after":
			faults.cutAfter, err = time.ParseDuration(value)
		case "ready-after":
			faults.readyAfter, err = time.ParseDuration(value)
		case "members-ready-after":
			faults.membersReadyAfter, err = time.ParseDuration(value)
		case "freeze":
			var freeze bool
			freeze, err = strconv.ParseBool(value)
			faults.noFreeze = !freeze
		case "fail-member":
			faults.failMember, err = strconv.Atoi(value)
		case "leave-out":
			faults.leaveOut, err = strconv.Atoi(value)
		default:
			err = errors.New("no such parameter")
		}
		if err != nil {
			return faults, status.Errorf(codes.InvalidArgument, "parameter %s=%q: %v", key, value, err)
		}
	}
	return faults, nil
}

func (d *driver) CreateVolumeGroupSnapshot(ctx context.Context, req *csi.CreateVolumeGroupSnapshotRequest) (*csi.CreateVolumeGroupSnapshotResponse, error) {
	faults, err := readGroupFaults(req.Parameters)
	if err != nil {
		return nil, err
	}
	sources := slices.Clone(req.SourceVolumeIds)
	slices.Sort(sources)
	if len(sources) == 0 || len(slices.Compact(slices.Clone(sources))) != len(sources) {
		return nil, status.Error(codes.InvalidArgument, "a group is of one volume or more, each named once")
	}
	for _, id := range append([]string{req.Name}, sources...) {
		if err := checkID(id); err != nil {
			return nil, err
		}
	}
	defer d.lock(req.Name)()
	g, err := d.readGroup(req.Name)
	if errors.Is(err, fs.ErrNotExist) {
		select {
		case <-time.After(faults.cutAfter):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		g, err = d.cutGroup(req.Name, sources, faults)
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(g.Sources, sources) {
		return nil, status.Errorf(codes.AlreadyExists, "group snapshot %s is of volumes %v", req.Name, g.Sources)
	}
	message, err := d.groupMessage(req.Name, g)
	return &csi.CreateVolumeGroupSnapshotResponse{GroupSnapshot: message}, err
}

// cutGroup copies the images while all their file systems are frozen, and only then writes notes of them.
func (d *driver) cutGroup(name string, sources []string, faults groupFaults) (g group, err error) {
	for _, source := range sources { // in their order, so that two groups never wait for each other
		defer d.lock(source)()
	}
	g.Sources = sources
	members := map[string]string{} // id → source
	for i, source := range sources {
		if i != faults.leaveOut {
			id := fmt.Sprintf("%s-%d", name, i)
			g.Members = append(g.Members, id)
			members[id] = source
		}
	}
	defer func() {
		if err != nil {
			for _, id := range g.Members {
				err = errors.Join(err, d.removeSnapshot(id))
			}
		}
	}()
	if err := d.cloneFrozen(members, g.Members, faults); err != nil {
		return g, err
	}
	g.Cut = time.Now()
	g.ReadyAt = g.Cut.Add(faults.readyAfter)
	for _, id := range g.Members {
		info, err := os.Stat(d.snapshotImage(id))
		if err != nil {
			return g, err
		}
		ready := g.ReadyAt.Add(faults.membersReadyAfter)
		s := snapshot{Source: members[id], Size: info.Size(), Cut: g.Cut, ReadyAt: ready, Group: name}
		if err := writeNote(d.snapshotNote(id), s); err != nil {
			return g, err
		}
	}
	return g, writeNote(d.groupNote(name), g)
}

func (d *driver) cloneFrozen(members map[string]string, order []string, faults groupFaults) error {
	if !faults.noFreeze {
		for _, source := range members {
			thaw, err := freeze(d.volumeImage(source))
			if err != nil {
				return status.Errorf(codes.Internal, "freezing volume %s: %v", source, err)
			}
			defer thaw()
		}
	}
	for i, id := range order {
		if i == faults.failMember {
			return status.Errorf(codes.Internal, "the copy of volume %s failed", members[id])
		}
		image := d.volumeImage(members[id])
		if _, err := os.Stat(image); err != nil {
			return status.Errorf(codes.NotFound, "volume %s: %v", members[id], err)
		}
		if err := clone(image, d.snapshotImage(id)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteVolumeGroupSnapshot removes the note last, so that a call which failed can be repeated.
func (d *driver) DeleteVolumeGroupSnapshot(_ context.Context, req *csi.DeleteVolumeGroupSnapshotRequest) (*csi.DeleteVolumeGroupSnapshotResponse, error) {
	id := req.GroupSnapshotId
	if err := checkID(id); err != nil {
		return nil, err
	}
	defer d.lock(id)()
	g, err := d.readGroup(id)
	if errors.Is(err, fs.ErrNotExist) {
		return &csi.DeleteVolumeGroupSnapshotResponse{}, nil
	} else if err != nil {
		return nil, err
	}
	if err := g.checkMembers(id, req.SnapshotIds); err != nil {
		return nil, err
	}
	for _, member := range g.Members {
		if err := d.removeSnapshot(member); err != nil {
			return nil, err
		}
	}
	return &csi.DeleteVolumeGroupSnapshotResponse{}, remove(d.groupNote(id))
}

func (d *driver) GetVolumeGroupSnapshot(_ context.Context, req *csi.GetVolumeGroupSnapshotRequest) (*csi.GetVolumeGroupSnapshotResponse, error) {
	id := req.GroupSnapshotId
	if err := checkID(id); err != nil {
		return nil, err
	}
	g, err := d.readGroup(id)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "group snapshot %s: %v", id, err)
	}
	if err := g.checkMembers(id, req.SnapshotIds); err != nil {
		return nil, err
	}
	message, err := d.groupMessage(id, g)
	return &csi.GetVolumeGroupSnapshotResponse{GroupSnapshot: message}, err
}

func (g group) checkMembers(id string, members []string) error {
	for _, member := range members {
		if !slices.Contains(g.Members, member) {
			return status.Errorf(codes.InvalidArgument, "snapshot %s is not of the group %s", member, id)
		}
	}
	return nil
}
