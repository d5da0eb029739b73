// Package integration has tests alone: they build the batpak program, run it, and look at it from
// outside, as a client in another language and an operator would.
//
// # What is tested here
//
//   - raw_test.go: requests made of nothing but a connection and the protocol's page
//   - kill_test.go: SIGKILL at random moments, while segments are changed and keys are made, too, and
//     what must be there after each restart
//   - full_disk_linux_test.go: SIGKILL while the disk has no room, and restarts without any
//   - drain_test.go: SIGTERM answers everything that was sent, and leaves nothing to recover
//   - flood_test.go: more than the queue holds is answered with busy, in a flat amount of memory
//   - refusal_test.go: directories that the program must not serve
//   - disk_test.go: writes that fail while the program runs
//   - onward_test.go: the onward stream after its server was away, or the stream was deleted
//   - verifier_test.go: receipts and the onward stream, checked by a program in another language
//
// wire_test.go is the client: MessagePack, subjects, envelopes and receipts, written a second time
// from the protocol's page, with nothing of this module imported. So the tests find out when the
// code and the page part. program_test.go runs the program; every process that it starts ends
// with its test, and with the test process, however that ends. writer_test.go and ledger_test.go
// are clients that append and keep what they were told, and volume_linux_test.go is the disk: a small
// file system in a file where the machine lets one be mounted, and a limit on the size of files.
//
// # Longer runs
//
// The kill tests print the seed of their random choices and what they did. They kill a process a few
// times in each of their ordeals; for a longer run, or one seed again:
//
//	go test ./integration -run TestKill -v -timeout 2h -kills 1000 -seed 7
//
// The moments of the kills are the machine's, so the same seed makes the same requests, and not
// the same crash. -race-program builds the program with the race detector.
//
// The folder peers is a module of its own: benchmarks beside other products. The folder verifier has a
// verifier of receipts and streams in JavaScript, written from the protocol's page alone; its test is skipped
// where Node.js is not installed.
package integration
