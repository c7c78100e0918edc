// Command checker reads histories of locks, a JSON object a line, and asks Porcupine whether each
// is linearizable: whether it could have come from a lock that does one thing at a time, whose
// acquisitions return rising tokens. It prints a line for each lock; status 1: one is not.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// How long one lock may be thought about. A history that could not be decided is a failure, too.
const limit = 2 * time.Minute

// What somebody did to a lock.
type operation struct {
	Lock string `json:"lock"`
	// How many may hold the lock at once, 1 being a mutex. Shared holders count as none.
	Slots  int  `json:"slots"`
	Shared bool `json:"shared"`
	// Whether it acquires the lock; else it gives it back.
	Acquire bool `json:"acquire"`
	// The hold that begins or ends here.
	Hold uint64 `json:"hold"`
	// 0 for a lock without tokens.
	Token uint64 `json:"token"`
	Call  int64  `json:"call"`
	// None for an end that nobody saw, of a holder that was killed: any time after the call.
	Return *int64 `json:"return"`
}

// A lock: the last token, and who holds it, in order.
type state struct {
	token uint64
	holds []hold
}

type hold struct {
	id     uint64
	shared bool
}

func step(before, input, _ any) (bool, any) {
	now, op := before.(state), input.(operation)
	holds := make([]hold, 0, len(now.holds)+1)
	exclusive := 0
	for _, held := range now.holds {
		if op.Acquire || held.id != op.Hold {
			holds = append(holds, held)
		}
		if !held.shared {
			exclusive++
		}
	}
	if !op.Acquire {
		// That of a killed holder may come twice, or when nobody looks any more.
		return len(holds) < len(now.holds) || op.Return == nil, state{now.token, holds}
	}
	if op.Token != 0 && op.Token <= now.token {
		return false, before
	}
	if op.Shared && exclusive > 0 || !op.Shared && (exclusive >= op.Slots || exclusive < len(holds)) {
		return false, before
	}
	holds = append(holds, hold{op.Hold, op.Shared})
	sort.Slice(holds, func(i, j int) bool { return holds[i].id < holds[j].id })
	return true, state{max(now.token, op.Token), holds}
}

func equal(a, b any) bool {
	one, two := a.(state), b.(state)
	if one.token != two.token || len(one.holds) != len(two.holds) {
		return false
	}
	for i, held := range one.holds {
		if held != two.holds[i] {
			return false
		}
	}
	return true
}

func main() {
	histories, names := map[string][]porcupine.Operation{}, []string{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var op operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			fail(fmt.Errorf("%s: %w", lines.Text(), err))
		}
		if _, known := histories[op.Lock]; !known {
			names = append(names, op.Lock)
		}
		done := int64(math.MaxInt64)
		if op.Return != nil {
			done = *op.Return
		}
		histories[op.Lock] = append(histories[op.Lock], porcupine.Operation{Input: op, Call: op.Call, Return: done})
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
	sort.Strings(names)
	lock := porcupine.Model{Init: func() any { return state{} }, Step: step, Equal: equal}
	status := 0
	for _, name := range names {
		verdict := porcupine.CheckOperationsTimeout(lock, histories[name], limit)
		fmt.Printf("%s: %d operations: %s\n", name, len(histories[name]), verdict)
		if verdict != porcupine.Ok {
			status = 1
		}
	}
	os.Exit(status)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "checker:", err)
	os.Exit(2)
}
