// Mounts: an image is loop-mounted once (staged) and bound into each pod that uses it.

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// commit=300: ext4 would else write its journal every five seconds by itself, and a test that
// looks for what was *not* flushed would have to be quick.
const mountOptions = "loop,commit=300"

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.node}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{{
		Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{
			Type: csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		}},
	}}}, nil
}

func (d *driver) NodeStageVolume(ctx context.Context, req *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if err := checkID(req.VolumeId); err != nil {
		return nil, err
	}
	defer d.lock(req.VolumeId)()
	if mounted(req.StagingTargetPath) {
		return &csi.NodeStageVolumeResponse{}, nil
	}
	if _, err := os.Stat(d.volumeImage(req.VolumeId)); err != nil {
		return nil, status.Errorf(codes.NotFound, "volume %s: %v", req.VolumeId, err)
	}
	return &csi.NodeStageVolumeResponse{}, errors.Join(
		os.MkdirAll(req.StagingTargetPath, 0o750),
		run(ctx, "mount", "-t", "ext4", "-o", mountOptions, d.volumeImage(req.VolumeId), req.StagingTargetPath))
}

func (d *driver) NodeUnstageVolume(ctx context.Context, req *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	defer d.lock(req.VolumeId)()
	return &csi.NodeUnstageVolumeResponse{}, unmount(ctx, req.StagingTargetPath)
}

func (d *driver) NodePublishVolume(ctx context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	defer d.lock(req.VolumeId)()
	if mounted(req.TargetPath) {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	if err := os.MkdirAll(req.TargetPath, 0o750); err != nil {
		return nil, err
	}
	if err := run(ctx, "mount", "--bind", req.StagingTargetPath, req.TargetPath); err != nil {
		return nil, err
	}
	if req.Readonly {
		if err := run(ctx, "mount", "-o", "remount,bind,ro", req.TargetPath); err != nil {
			return nil, errors.Join(err, unmount(ctx, req.TargetPath))
		}
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (d *driver) NodeUnpublishVolume(ctx context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	defer d.lock(req.VolumeId)()
	if err := unmount(ctx, req.TargetPath); err != nil {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, remove(req.TargetPath)
}

// unmount also detaches the loop device, which mount(8) set to go with its last user.
func unmount(ctx context.Context, path string) error {
	if !mounted(path) {
		return nil
	}
	return run(ctx, "umount", path)
}

// mounted says whether something is mounted at path (the kubelet's paths have no blanks in them).
func mounted(path string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	for _, line := range strings.Split(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == path {
			return true
		}
	}
	return false
}
