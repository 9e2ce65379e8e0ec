// csi is the local cluster's storage: a CSI driver whose volumes are block-level and
// crash-consistent, like a cloud's disks. A volume is an ext4 image file on an XFS with reflinks;
// a snapshot is a reflinked copy of that file, so it holds what had been flushed to the "disk" by
// then and nothing else.
//
// This file wires the four CSI services and the registration with the kubelet to their sockets;
// controller.go and group.go make and remove images, node.go mounts them, freeze.go stops writes to them.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// driver answers all of the CSI services.
type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedGroupControllerServer
	csi.UnimplementedNodeServer

	name, node string
	dir        string   // on the XFS; holds volumes/, snapshots/ and groups/
	busy       sync.Map // volume, snapshot or group id → *sync.Mutex

	turn    sync.Mutex // held by a snapshot that is to be cut apart from others
	lastCut time.Time
}

// lock lets one call at a time work on the volume or snapshot of that id.
func (d *driver) lock(id string) (unlock func()) {
	m, _ := d.busy.LoadOrStore(id, &sync.Mutex{})
	m.(*sync.Mutex).Lock()
	return m.(*sync.Mutex).Unlock
}

func main() {
	d := &driver{}
	flag.StringVar(&d.name, "name", "", "the driver's name, the provisioner of its storage classes")
	flag.StringVar(&d.node, "node", "", "the node's name")
	flag.StringVar(&d.dir, "dir", "", "directory for the images, on a file system with reflinks")
	socket := flag.String("socket", "", "where to serve CSI")
	registry := flag.String("registry", "", "the kubelet's plugins_registry directory")
	flag.Parse()

	for _, sub := range []string{"volumes", "snapshots", "groups"} {
		must(os.MkdirAll(filepath.Join(d.dir, sub), 0o700))
	}
	must(d.thawAll())
	services := grpc.NewServer(grpc.UnaryInterceptor(logged))
	csi.RegisterIdentityServer(services, d)
	csi.RegisterControllerServer(services, d)
	csi.RegisterGroupControllerServer(services, d)
	csi.RegisterNodeServer(services, d)

	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, &registrant{name: d.name, endpoint: *socket})
	go func() { must(registrar.Serve(listen(filepath.Join(*registry, d.name+"-reg.sock")))) }()
	must(services.Serve(listen(*socket)))
}

// listen takes over the socket's path from a process that was killed.
func listen(path string) net.Listener {
	must(os.MkdirAll(filepath.Dir(path), 0o750))
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	must(err)
	return l
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func logged(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if err != nil {
		log.Printf("%s: %v", info.FullMethod, err)
	} else if _, probe := req.(*csi.ProbeRequest); !probe {
		log.Printf("%s: done", info.FullMethod)
	}
	return resp, err
}

// registrant tells the kubelet where the driver is.
type registrant struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
}

func (r *registrant) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r *registrant) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	log.Printf("registered with the kubelet: %v %s", s.PluginRegistered, s.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: d.name, VendorVersion: "1"}, nil
}

func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	resp := &csi.GetPluginCapabilitiesResponse{}
	for _, t := range []csi.PluginCapability_Service_Type{
		csi.PluginCapability_Service_CONTROLLER_SERVICE, csi.PluginCapability_Service_GROUP_CONTROLLER_SERVICE,
	} {
		resp.Capabilities = append(resp.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: t}},
		})
	}
	return resp, nil
}

func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}
