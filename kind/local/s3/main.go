// An S3 server for the tests of `export`: versitygw's own, with its folder backend, versions and object lock, and nothing
// of what versitygw's program has beside it (other storage clouds, plugins), which would double the time to compile.
// Usage: s3 ADDRESS FOLDER
// ROOT_ACCESS_KEY and ROOT_SECRET_KEY are the administrator's, USER_ACCESS_KEY and USER_SECRET_KEY those of a user who may
// do only what the policy of a bucket allows.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: s3 ADDRESS FOLDER")
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func serve(address, folder string) error {
	folders := map[string]string{}
	for _, name := range []string{"buckets", "versions", "accounts"} {
		folders[name] = filepath.Join(folder, name)
		if err := os.MkdirAll(folders[name], 0o700); err != nil {
			return err
		}
	}
	root := auth.Account{Access: os.Getenv("ROOT_ACCESS_KEY"), Secret: os.Getenv("ROOT_SECRET_KEY"), Role: auth.RoleAdmin}
	accounts, err := auth.NewInternal(root, folders["accounts"])
	if err != nil {
		return err
	}
	user := auth.Account{Access: os.Getenv("USER_ACCESS_KEY"), Secret: os.Getenv("USER_SECRET_KEY"), Role: auth.RoleUser}
	if _, err := accounts.GetUserAccount(user.Access); user.Access != "" && err != nil {
		if err := accounts.CreateAccount(user); err != nil {
			return err
		}
	}
	storage, err := posix.New(folders["buckets"], meta.XattrMeta{}, posix.PosixOpts{VersioningDir: folders["versions"]})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return embedgw.RunVersityGW(ctx, storage, &embedgw.Config{
		RootUserAccess: root.Access, RootUserSecret: root.Secret, IAMService: accounts,
		Ports: []string{address}, HealthPath: "/health",
		MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000, KeepAlive: true,
	})
}
