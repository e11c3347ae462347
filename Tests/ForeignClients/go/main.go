// Calls a node with Go's gRPC, as a client that knows nothing but the protocol's files: makes many
// calls, one after the other, and a watch on one connection, and prints what it saw as JSON.
//
//	client ADDRESS CALLS
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	cadastre "cadastre/v1"
)

// Seconds, for what takes milliseconds on an idle machine.
const patience = 60 * time.Second

// One call in so many is a command.
const commandEvery = 20

// What was seen.
type report struct {
	Calls       int      `json:"calls"`
	Commands    int      `json:"commands"`
	Connections int32    `json:"connections"`
	Pings       int64    `json:"pings"`
	Watched     []uint64 `json:"watched"`
	Made        []uint64 `json:"made"`
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: client ADDRESS CALLS"))
	}
	calls, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail(err)
	}
	seen, err := run(os.Args[1], calls)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(seen); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func run(address string, calls int) (*report, error) {
	seen := &report{}
	var pings int64
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		atomic.AddInt32(&seen.Connections, 1)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return &pingCounter{Conn: conn, skip: len(preface), pings: &pings}, nil
	}
	conn, err := grpc.Dial(address, grpc.WithInsecure(), grpc.WithContextDialer(dial))
	if err != nil {
		return nil, err
	}
	defer conn.Close()

	watch, err := follow(conn)
	if err != nil {
		return nil, err
	}
	reads, commands := cadastre.NewCatalogReadsClient(conn), cadastre.NewCatalogCommandsClient(conn)
	for ; seen.Calls < calls; seen.Calls++ {
		if seen.Calls%commandEvery != 0 {
			if err := resolve(reads, seen.Calls); err != nil {
				return nil, fmt.Errorf("call %d: %w", seen.Calls, err)
			}
			continue
		}
		version, err := split(commands, seen.Calls)
		if err != nil {
			return nil, fmt.Errorf("call %d: %w", seen.Calls, err)
		}
		seen.Made = append(seen.Made, version)
	}
	seen.Commands = len(seen.Made)
	if seen.Watched, err = watch.through(seen.Made[len(seen.Made)-1]); err != nil {
		return nil, fmt.Errorf("the watch: %w", err)
	}
	seen.Pings = atomic.LoadInt64(&pings)
	return seen, nil
}

func key(number int) []byte { return []byte(fmt.Sprintf("k%06d", number)) }

func resolve(reads cadastre.CatalogReadsClient, number int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := reads.Resolve(ctx, &cadastre.ResolveRequest{Key: key(number)})
	if err != nil {
		return err
	}
	// The last split before it made the route.
	if expected := key(number - number%commandEvery); string(answer.Route.Start) != string(expected) {
		return fmt.Errorf("%q is in the route of %q, not of %q",
			key(number), answer.Route.Start, expected)
	}
	return nil
}

func split(commands cadastre.CatalogCommandsClient, number int) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return 0, err
	}
	answer, err := commands.Split(ctx, &cadastre.SplitRequest{
		Header: &cadastre.CommandHeader{CommandId: id, Actor: "grpc-go", Reason: "a test"},
		Split:  &cadastre.SplitPoint{At: key(number)},
	})
	if err != nil {
		return 0, err
	}
	return answer.Version, nil
}

// A watch that goes on while calls are made.
type follower struct {
	mutex    sync.Mutex
	changed  *sync.Cond
	versions []uint64
	err      error
}

// Begins to watch, and waits until the node has said from which version on.
func follow(conn *grpc.ClientConn) (*follower, error) {
	stream, err := cadastre.NewCatalogWatchClient(conn).Watch(
		context.Background(), &cadastre.WatchRequest{ProgressIntervalMs: 10})
	if err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetStarted() == nil {
		return nil, fmt.Errorf("the watch began with %v", first)
	}
	follower := &follower{}
	follower.changed = sync.NewCond(&follower.mutex)
	go func() {
		for {
			message, err := stream.Recv()
			follower.hear(message, err)
			if err != nil {
				return
			}
		}
	}()
	return follower, nil
}

func (follower *follower) hear(message *cadastre.WatchResponse, err error) {
	follower.mutex.Lock()
	defer follower.mutex.Unlock()
	follower.err = err
	for _, delta := range message.GetDeltas().GetDeltas() {
		follower.versions = append(follower.versions, delta.Version)
	}
	follower.changed.Broadcast()
}

// The versions that were told, once `last` was.
func (follower *follower) through(last uint64) ([]uint64, error) {
	timer := time.AfterFunc(patience, func() {
		follower.hear(nil, fmt.Errorf("version %d was not told", last))
	})
	defer timer.Stop()
	follower.mutex.Lock()
	defer follower.mutex.Unlock()
	for follower.err == nil {
		if count := len(follower.versions); count > 0 && follower.versions[count-1] >= last {
			return follower.versions, nil
		}
		follower.changed.Wait()
	}
	return nil, follower.err
}

// What a client of HTTP/2 sends before its frames.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Counts the PINGs that are sent and are no answers.
type pingCounter struct {
	net.Conn
	// How many bytes there are before the next frame's head, and what there is of that.
	skip  int
	head  []byte
	pings *int64
}

func (counter *pingCounter) Write(bytes []byte) (int, error) {
	for rest := bytes; len(rest) > 0; {
		if counter.skip > 0 {
			count := min(counter.skip, len(rest))
			counter.skip, rest = counter.skip-count, rest[count:]
			continue
		}
		count := min(9-len(counter.head), len(rest))
		counter.head, rest = append(counter.head, rest[:count]...), rest[count:]
		if len(counter.head) < 9 {
			break
		}
		head := counter.head
		if kind, flags := head[3], head[4]; kind == 6 && flags&1 == 0 {
			atomic.AddInt64(counter.pings, 1)
		}
		counter.skip = int(binary.BigEndian.Uint32([]byte{0, head[0], head[1], head[2]}))
		counter.head = nil
	}
	return counter.Conn.Write(bytes)
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
