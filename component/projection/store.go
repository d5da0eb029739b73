package projection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"batpak/faultfs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Store keeps one checkpoint. Run calls its methods one at a time.
type Store interface {
	// Load returns what the last Save that returned nil was given, nil when there was none.
	// After a Save that failed it may also be what that one was given.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces what is kept: after a crash Load returns the old bytes or the new ones, and
	// the new ones once Save has returned nil. It must not keep b. An error ends Run.
	Save(ctx context.Context, b []byte) error
}

// MaxFile is the largest checkpoint, in bytes, that a file store reads.
const MaxFile = 1 << 30

// NewFileStore returns a store that keeps the checkpoint in a file, which it replaces
// atomically. The folder exists; nobody else writes the file.
func NewFileStore(fsys faultfs.FS, name string) Store { return &fileStore{fsys, name} }

type fileStore struct {
	fsys faultfs.FS
	name string
}

func (s *fileStore) Load(context.Context) ([]byte, error) {
	f, err := s.fsys.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", s.name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("file %s: %w", s.name, err)
	case len(b) > MaxFile:
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrCheckpoint, s.name, MaxFile)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: %s is empty", ErrCheckpoint, s.name)
	}
	return b, nil
}

func (s *fileStore) Save(_ context.Context, b []byte) error {
	if len(b) > MaxFile {
		return fmt.Errorf("file %s: %d bytes, the limit is %d", s.name, len(b), MaxFile)
	}
	if err := faultfs.Publish(s.fsys, s.name, b, 0o600); err != nil {
		return fmt.Errorf("file %s: %w", s.name, err)
	}
	return nil
}

// NewKVStore returns a store that keeps the checkpoint under a key of a JetStream key-value
// bucket. A checkpoint must fit into a message of the server (1 MiB unless configured). A bucket
// that keeps a history keeps checkpoints from before an erasure in it. While
// the bucket is out of reach, Load and Save try again until their context ends. Two projections that use one
// key at the same time notice: the Save of one fails.
func NewKVStore(kv jetstream.KeyValue, key string) Store { return &kvStore{kv: kv, key: key} }

type kvStore struct {
	kv       jetstream.KeyValue
	key      string
	revision uint64 // of the entry that was last loaded or saved; 0 when there is none
}

func (s *kvStore) Load(ctx context.Context) (b []byte, err error) {
	err = s.try(ctx, func(ctx context.Context) error {
		e, err := s.kv.Get(ctx, s.key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			b, s.revision = nil, 0
			return nil
		}
		if err == nil {
			b, s.revision = e.Value(), e.Revision()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bucket %s: key %s: %w", s.kv.Bucket(), s.key, err)
	}
	return b, nil
}

func (s *kvStore) Save(ctx context.Context, b []byte) error {
	if err := s.try(ctx, func(ctx context.Context) error { return s.put(ctx, b) }); err != nil {
		return fmt.Errorf("bucket %s: key %s: %w", s.kv.Bucket(), s.key, err)
	}
	return nil
}

// try asks the bucket again and again while it is out of reach.
func (s *kvStore) try(ctx context.Context, ask func(context.Context) error) error {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		asking, cancel := context.WithTimeout(ctx, askWait)
		err := ask(asking)
		cancel()
		if err == nil || !passing(err) || !sleep(ctx, pause) {
			return err
		}
	}
}

func (s *kvStore) put(ctx context.Context, b []byte) error {
	var revision uint64
	var err error
	if s.revision == 0 { // also when the key was deleted, which has left a revision
		revision, err = s.kv.Create(ctx, s.key, b)
	} else {
		revision, err = s.kv.Update(ctx, s.key, b, s.revision)
	}
	if err != nil && isConflict(err) {
		// An attempt before may have got through without its reply.
		if e, gerr := s.kv.Get(ctx, s.key); gerr == nil && string(e.Value()) == string(b) {
			revision, err = e.Revision(), nil
		}
	}
	if err == nil {
		s.revision = revision
	}
	return err
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// passing says whether an error is about the way to the server and not about the request.
func passing(err error) bool {
	for _, way := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded, context.DeadlineExceeded,
		jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, way) {
			return true
		}
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503
}
