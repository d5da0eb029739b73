package cel_test

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"batpak/causal"
	"batpak/gates"
	"batpak/gates/cel"
)

func Example() {
	limit, err := cel.New("limit",
		`kind != 0x1001 || data.cents <= 5000 ? '' : 'no more than 5000, not ' + string(data.cents)`,
		cel.Options{Code: "over_limit"})
	if err != nil {
		panic(err)
	}
	chain, err := gates.NewChain(limit)
	if err != nil {
		panic(err)
	}
	for _, cents := range []int{300, 9000} {
		data, _ := msgpack.Marshal(map[string]int{"cents": cents})
		_, err := chain.Judge(&gates.Proposal{
			Header: causal.Header{Coordinate: causal.Coordinate{Scope: "bank", Entity: "alice"}, Kind: 0x1001},
			Data:   data,
		}, nil)
		fmt.Println(err)
	}
	_, err = cel.New("limit", `data.cents <= limit`, cel.Options{})
	fmt.Println(err)
	// Output:
	// <nil>
	// gates: limit: over_limit: no more than 5000, not 9000
	// cel: limit: line 1, column 15: undeclared reference to 'limit'
}
