package gatefile_test

import (
	"fmt"
	"strings"

	"batpak/gates/gatefile"
)

// A file's gates become one chain, in the order of the file; a mistake comes with its line.
func ExampleRead() {
	chain, err := gatefile.Read("shop.yaml", strings.NewReader(`
gates:
  - name: size
    size: {max_bytes: 4096}
  - name: limit
    cel: {expr: "data.cents <= 5000", message: "no more than 5000"}
`))
	fmt.Println(chain.Names(), err)

	_, err = gatefile.Read("shop.yaml", strings.NewReader("gates:\n  - name: size\n    size: {most: 1}\n"))
	fmt.Println(err)
	// Output:
	// [size limit] <nil>
	// shop.yaml:3: there is no max_bytes
}
