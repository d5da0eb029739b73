// Command batpak serves a journal on NATS, and talks to one from the shell.
//
//	batpak demo                                     a tour: orders, a gate, balances, a kill, sealed data
//	batpak serve --dir DIR                          a node, with a NATS server in it
//	batpak serve --dir DIR --gates FILE             one whose appends are judged by rules in a file
//	batpak gates check FILE                         check such a file, and try it on an event
//	batpak append shop/ada --kind 0x1001 '{"cents":500}'
//	batpak append --ndjson < orders.ndjson          many events, many in flight
//	batpak read shop/ada                            events
//	batpak tail                                     events as they come
//	batpak backup --dir DIR --to FOLDER             copy a journal, also while it is served
//	batpak restore --from FOLDER --dir DIR          make a journal of the copy, with later erasures applied
//	batpak verify --residue --subject ada --dir DIR what can still be had of her payloads
//	batpak graph ID                                 what an event follows from, and what follows from it
//	batpak import git REPOSITORY                    one event for each commit, with its parents as causes
//	batpak shred --subject ID --reason TEXT         erase payloads, by destroying their key
//	batpak erased                                   every erasure on record
//	batpak keys --dir DIR                           how many payload keys there are, and how they are wrapped
//	batpak rekey --dir DIR --to WRAP                wrap them otherwise
//	batpak signer --new FILE                        a key to sign receipts by: serve --signer FILE
//	batpak head --save FILE                         keep where the journal stands, for verify --since FILE
//	batpak witness --file FILE                      follow the heads that the node publishes, and tell of a rewritten history
//	batpak generate --events 1000000 --dir DIR      a journal of made-up events: bench --events measures one
//	batpak head, get, open, status, verify, bench   see their help
//
// # Where it connects
//
// As the nats command does: --server (or --url), --context, --creds, --nkey, --user and --password,
// --token, --tlscert, --tlskey, --tlsca, --timeout, each also from the environment as NATS_URL,
// NATS_CONTEXT, NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CERT, NATS_KEY,
// NATS_CA, NATS_TIMEOUT. A flag goes before the environment, both go before a context. Without a
// server and a context it is the context that the user has selected with the nats command, and
// without one nats://127.0.0.1:4222. A selected context is not mixed with another server's
// address, so its credentials go to its own servers alone.
//
// --journal (main) and --prefix (batpak) say which journal.
//
// # Keys
//
// --keys-wrap, or BATPAK_KEYS_WRAP in the environment, says where the key-encryption key is that the
// payload keys of a directory are wrapped with: a file, a variable, Vault, or the terminal. The key
// itself is on no command line and in no log.
//
// # What it prints
//
// Results go to standard output, in one of three forms:
//
//   - to a terminal: tables, with colour unless --no-color or NO_COLOR is set;
//   - to a pipe: lines of fields with a tab between them, without a heading; the help of each
//     command names the fields;
//   - with --json: one JSON object per line, with the keys of the protocol.
//
// Everything else goes to standard error: progress (on a terminal only), logs, questions, and errors,
// one line each, or one JSON object with --json, whose code is that of a node's refusal, or usage, interrupted or failed.
// Questions are asked on a terminal alone: without one, a command that would have to ask is refused, and
// says which flag answers.
//
// # Exit codes
//
//	0    done
//	1    failed: no connection, no node, the disk, the directory
//	2    the command line is wrong
//	3    a node refused the request: denied, conflict, invalid and the like
//	4    verify or witness found that the journal is not what it should be, or residue; a directory or a backup is damaged
//	130  interrupted before it was done
package main
