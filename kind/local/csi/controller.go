// Volumes and snapshots as image files: made, copied by reflink, removed. Knows nothing of mounts; group.go has several at once.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const defaultSize = 1 << 30

// An id becomes a file's name; the provisioner's and snapshotter's names (pvc-UID, snapshot-UID) are such.
var safeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func checkID(id string) error {
	if !safeID.MatchString(id) {
		return status.Errorf(codes.InvalidArgument, "%q cannot be an id here", id)
	}
	return nil
}

func (d *driver) volumeImage(id string) string   { return filepath.Join(d.dir, "volumes", id+".img") }
func (d *driver) snapshotImage(id string) string { return filepath.Join(d.dir, "snapshots", id+".img") }
func (d *driver) snapshotNote(id string) string  { return filepath.Join(d.dir, "snapshots", id+".json") }

// snapshot is the note beside a snapshot's image; a snapshot without a note does not exist.
type snapshot struct {
	Source  string
	Size    int64
	Cut     time.Time
	ReadyAt time.Time
	Group   string // the id of the group snapshot that it is of, if it is
}

func (d *driver) readSnapshot(id string) (s snapshot, err error) {
	text, err := os.ReadFile(d.snapshotNote(id))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

func (s snapshot) message(id string) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId: id, SourceVolumeId: s.Source, SizeBytes: s.Size,
		CreationTime: timestamppb.New(s.Cut), ReadyToUse: !time.Now().Before(s.ReadyAt),
		GroupSnapshotId: s.Group,
	}
}

func (d *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	resp := &csi.ControllerGetCapabilitiesResponse{}
	for _, t := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		resp.Capabilities = append(resp.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: t}},
		})
	}
	return resp, nil
}

func (d *driver) ValidateVolumeCapabilities(_ context.Context, req *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: req.VolumeCapabilities,
	}}, nil
}

// CreateVolume makes an ext4 of exactly the requested size (lost+found stays in it, as on a real
// disk), or copies a snapshot's image and lets its file system grow to that size.
func (d *driver) CreateVolume(ctx context.Context, req *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if err := checkID(req.Name); err != nil {
		return nil, err
	}
	for _, c := range req.VolumeCapabilities {
		if c.GetBlock() != nil {
			return nil, status.Error(codes.InvalidArgument, "raw block volumes are not supported")
		}
	}
	defer d.lock(req.Name)()
	image := d.volumeImage(req.Name)
	size := req.GetCapacityRange().GetRequiredBytes()
	if size == 0 {
		size = defaultSize
	}
	source := req.GetVolumeContentSource().GetSnapshot().GetSnapshotId()
	answer := &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: req.Name, CapacityBytes: size, ContentSource: req.VolumeContentSource,
	}}
	if info, err := os.Stat(image); err == nil {
		if info.Size() != size {
			return nil, status.Errorf(codes.AlreadyExists, "volume %s exists with %d bytes", req.Name, info.Size())
		}
		return answer, nil
	}
	if req.VolumeContentSource != nil && source == "" {
		return nil, status.Error(codes.InvalidArgument, "a volume can be made from a snapshot only")
	}

	half := image + ".part"
	defer os.Remove(half)
	if source != "" {
		if err := checkID(source); err != nil {
			return nil, err
		}
		s, err := d.readSnapshot(source)
		if err != nil {
			return nil, status.Errorf(codes.NotFound, "snapshot %s: %v", source, err)
		}
		if size < s.Size {
			return nil, status.Errorf(codes.OutOfRange, "the snapshot needs %d bytes", s.Size)
		}
		if err := clone(d.snapshotImage(source), half); err != nil {
			return nil, err
		}
		if size > s.Size {
			// e2fsck replays the journal, which resize2fs insists on; 1 means "errors corrected".
			err := run(ctx, "e2fsck", "-f", "-p", half)
			var exit *exec.ExitError
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
				return nil, status.Error(codes.Internal, err.Error())
			}
			if err := os.Truncate(half, size); err != nil {
				return nil, err
			}
			if err := run(ctx, "resize2fs", half); err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
		}
	} else {
		f, err := os.Create(half)
		if err != nil {
			return nil, err
		}
		f.Close()
		if err := os.Truncate(half, size); err != nil {
			return nil, err
		}
		if err := run(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", half); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return answer, os.Rename(half, image)
}

func (d *driver) DeleteVolume(_ context.Context, req *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if err := checkID(req.VolumeId); err != nil {
		return nil, err
	}
	defer d.lock(req.VolumeId)()
	return &csi.DeleteVolumeResponse{}, remove(d.volumeImage(req.VolumeId))
}

// CreateSnapshot cuts at once and is ready at once, unless the VolumeSnapshotClass turns one of
// the knobs that tests use: "fail" (every call fails with that message), "cut-after" (the call
// takes so long before the cut), "cut-apart" (the cut comes at least so long after the one before it, however close together the
// calls came), "ready-after" (not ready until so long after the cut).
func (d *driver) CreateSnapshot(ctx context.Context, req *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	var cutAfter, cutApart, readyAfter time.Duration
	for key, value := range req.Parameters {
		var err error
		switch key {
		case "fail":
			return nil, status.Error(codes.Internal, value)
		case "cut-after":
			cutAfter, err = time.ParseDuration(value)
		case "cut-apart":
			cutApart, err = time.ParseDuration(value)
		case "ready-after":
			readyAfter, err = time.ParseDuration(value)
		default:
			err = errors.New("no such parameter")
		}
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "parameter %s=%q: %v", key, value, err)
		}
	}
	if err := errors.Join(checkID(req.Name), checkID(req.SourceVolumeId)); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	defer d.lock(req.Name)()
	if s, err := d.readSnapshot(req.Name); err == nil {
		if s.Source != req.SourceVolumeId {
			return nil, status.Errorf(codes.AlreadyExists, "snapshot %s is of volume %s", req.Name, s.Source)
		}
		return &csi.CreateSnapshotResponse{Snapshot: s.message(req.Name)}, nil
	}

	if cutApart > 0 {
		d.turn.Lock()
		defer d.turn.Unlock()
		defer func() { d.lastCut = time.Now() }()
		cutAfter = max(cutAfter, time.Until(d.lastCut.Add(cutApart)))
	}
	select {
	case <-time.After(cutAfter):
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	image := d.volumeImage(req.SourceVolumeId)
	info, err := os.Stat(image)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "volume %s: %v", req.SourceVolumeId, err)
	}
	if err := clone(image, d.snapshotImage(req.Name)); err != nil {
		return nil, err
	}
	now := time.Now()
	s := snapshot{Source: req.SourceVolumeId, Size: info.Size(), Cut: now, ReadyAt: now.Add(readyAfter)}
	if err := writeNote(d.snapshotNote(req.Name), s); err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: s.message(req.Name)}, nil
}

func (d *driver) DeleteSnapshot(_ context.Context, req *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if err := checkID(req.SnapshotId); err != nil {
		return nil, err
	}
	defer d.lock(req.SnapshotId)()
	if s, err := d.readSnapshot(req.SnapshotId); err == nil && s.Group != "" {
		return nil, status.Errorf(codes.InvalidArgument, "snapshot %s goes with its group %s only", req.SnapshotId, s.Group)
	}
	return &csi.DeleteSnapshotResponse{}, d.removeSnapshot(req.SnapshotId)
}

func (d *driver) removeSnapshot(id string) error {
	return errors.Join(remove(d.snapshotNote(id)), remove(d.snapshotImage(id)))
}

// ListSnapshots answers for one id, which is how the snapshotter asks whether a content that
// was made by hand (a rebound or cloned one) has data behind it, and how much.
func (d *driver) ListSnapshots(_ context.Context, req *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	resp := &csi.ListSnapshotsResponse{}
	if checkID(req.SnapshotId) != nil {
		return resp, nil
	}
	s, err := d.readSnapshot(req.SnapshotId)
	if errors.Is(err, fs.ErrNotExist) {
		return resp, nil
	} else if err != nil {
		return nil, err
	}
	resp.Entries = []*csi.ListSnapshotsResponse_Entry{{Snapshot: s.message(req.SnapshotId)}}
	return resp, nil
}

// clone makes dst share all of src's blocks, cut at one moment even while src is written to.
func clone(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlFileClone(int(out.Fd()), int(in.Fd())), out.Close())
}

// writeNote leaves a whole note at path or none.
func writeNote(path string, note any) error {
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// run runs a program and returns what it printed as its error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return &failed{name + ": " + strings.TrimSpace(string(out)), err}
	}
	return nil
}

type failed struct {
	text  string
	cause error
}

func (f *failed) Error() string { return f.text + ": " + f.cause.Error() }
func (f *failed) Unwrap() error { return f.cause }
