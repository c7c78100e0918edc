// Command leader runs a command while it is the leader, by client-go's leader election: what locks
// in Leases are tested against.
//
//	leader -kubeconfig FILE -namespace NAMESPACE -id ID [-lease 15s -renew 10s -retry 2s] LEASE COMMAND...
//
// The command has a process group of its own. It ends with this process, and is killed when the
// lease is lost, which is status 3. When it has ended, the lease is released, and its status is
// this one's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The lease was lost while the command ran, or before.
const lost = 3

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	namespace := flag.String("namespace", "", "")
	id := flag.String("id", "", "")
	lease := flag.Duration("lease", 15*time.Second, "")
	renew := flag.Duration("renew", 10*time.Second, "")
	retry := flag.Duration("retry", 2*time.Second, "")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	client, err := kubernetes.NewForConfig(config)
	check(err)
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: flag.Arg(0), Namespace: *namespace},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: *id},
	}
	ctx, cancel := context.WithCancel(context.Background())
	status := make(chan int, 1)
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   *lease,
		RenewDeadline:   *renew,
		RetryPeriod:     *retry,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				status <- run(ctx, flag.Args()[1:])
				cancel()
			},
			OnStoppedLeading: func() {},
		},
	})
	os.Exit(<-status)
}

func run(ctx context.Context, command []string) int {
	// The signal for the parent's death comes when this thread dies.
	runtime.LockOSThread()
	child := exec.CommandContext(ctx, command[0], command[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	child.Cancel = func() error { return syscall.Kill(-child.Process.Pid, syscall.SIGKILL) }
	err := child.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return lost
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	check(err)
	return 0
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "leader:", err)
		os.Exit(1)
	}
}
