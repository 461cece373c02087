package index

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/dicomesh/dicomesh/dedup/durable"
	"modernc.org/sqlite"
)

// Index is the index of one state folder, with its digest log. Its methods may be called from several goroutines.
type Index struct {
	// Digests is the log of digests of files whose names say nothing.
	Digests *Digests
	// Incarnation is drawn when an index is begun: what was said of an index with another one does not hold for this.
	Incarnation string
	// Fresh says that the index is empty or not complete: nobody has read the whole tree into it. Refresh does, and then it is false.
	Fresh bool
	// SetAside is why an index that was there could not be used, nil if there was none or it could. It lies beside the new one under another name.
	SetAside error

	dir   string
	state *durable.OS
	lock  io.Closer
	read  *sql.DB // nil in a reader of a folder without an index
	write *sql.DB // one connection; nil in a reader

	mu       sync.Mutex // one writer at a time; guards what follows
	next     uint64     // the change number to give next
	reserved uint64     // the first that is not reserved
}

// schema is what an index has to say of itself to be used.
const schema = "4"

// before is the schema that lacked what added adds. Such an index is made one of today's when it is opened for writing: to begin it anew would have every file of the archive read.
const (
	before = "3"
	added  = "ALTER TABLE study ADD COLUMN wanting INTEGER NOT NULL DEFAULT 0"
)

const (
	databaseFile = "index.db"
	asideFile    = "index.db.aside"
	lockFile     = "lock"
)

// errSchema says that an index was made by another release.
var errSchema = errors.New("made by another release")

// Open takes the state folder, which is made if need be, for this process; durable.ErrLocked if another one has it. An index that is not
// there is begun; one that is damaged, or of a schema that is neither today's nor the one before, is set aside and begun anew. Close it.
func Open(ctx context.Context, dir string) (*Index, error) {
	state, err := openFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	x := &Index{dir: dir, state: state}
	if x.lock, err = state.TryLock(lockFile); err == nil {
		err = x.open(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state folder %s: %w", dir, err), x.Close())
	}
	return x, nil
}

// openFolder makes the folder, readable by its owner alone, and opens it.
func openFolder(dir string) (*durable.OS, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return nil, err
	}
	return durable.OpenPrivate(dir)
}

func (x *Index) open(ctx context.Context) (err error) {
	if x.Digests, err = openDigests(x.dir, x.state); err != nil {
		return err
	}
	if err = x.openDatabase(ctx); !unusable(err) {
		return err
	}
	x.SetAside = err
	if err := errors.Join(x.closeDatabase(), x.setAside()); err != nil {
		return err
	}
	return x.openDatabase(ctx)
}

// unusable reports whether an error is a reason to begin the index anew.
func unusable(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, errSchema)
}

// OpenReader looks into a state folder that another process may own. What is not there is empty: an index without studies, a log
// without digests. It changes nothing in the folder but the files with which SQLite coordinates its readers. Close it.
//
// An index that is damaged, or of another schema, is empty, and SetAside says so.
func OpenReader(ctx context.Context, dir string) (*Index, error) {
	x := &Index{dir: dir, Fresh: true}
	var err error
	if x.Digests, err = readDigests(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(x.path()); os.IsNotExist(err) {
		return x, nil
	}
	x.read = database(x.path(), reading)
	if err := x.readFacts(ctx); unusable(err) {
		x.SetAside = err
		return x, x.closeDatabase()
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("open index: %w", err), x.Close())
	}
	return x, nil
}

func (x *Index) path() string { return filepath.Join(x.dir, databaseFile) }

// How connections are opened; the driver applies the page size before it sets the journal mode, after which it could not be set. Small pages, because a commit of one instance writes three of them. No sync for each commit (see the package comment).
const (
	reading = "mode=ro"
	writing = "mode=rwc&_txlock=immediate&_pragma=page_size(1024)&_journal_mode=wal&_synchronous=normal&_pragma=wal_autocheckpoint(8000)"
)

// database is a handle that opens connections when they are needed.
func database(path, options string) *sql.DB {
	u := url.URL{Scheme: "file", Path: path, RawQuery: options + "&_busy_timeout=10000&_pragma=cache_size(-16384)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		panic(err) // The driver is linked in, and its name is right.
	}
	return db
}

const tables = `
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE study (id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, key BLOB NOT NULL, change INTEGER NOT NULL, leaf BLOB NOT NULL, others BLOB NOT NULL, state TEXT NOT NULL,
	published BLOB, generation INTEGER NOT NULL, sorted INTEGER NOT NULL, recent INTEGER NOT NULL, rows INTEGER NOT NULL,
	instances INTEGER NOT NULL, series INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL, complete INTEGER NOT NULL, conflict INTEGER NOT NULL,
	wanting INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX feed ON study(change);
CREATE INDEX place ON study(key);
CREATE TABLE chunk (id INTEGER PRIMARY KEY, first TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE recent (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
`

// openDatabase opens the index for writing and reserves change numbers.
func (x *Index) openDatabase(ctx context.Context) error {
	_, err := os.Stat(x.path())
	x.write, x.read = database(x.path(), writing), database(x.path(), reading)
	x.write.SetMaxOpenConns(1)
	x.read.SetMaxOpenConns(4)
	if os.IsNotExist(err) {
		if err := x.create(ctx); err != nil {
			return err
		}
	}
	if err := x.renew(ctx); err != nil {
		return err
	}
	if err := x.readFacts(ctx); err != nil {
		return err
	}
	if err := x.checkAfterCrash(ctx); err != nil {
		return err
	}
	x.next = x.reserved
	return x.reserve(ctx)
}

// create makes the tables of an empty index.
func (x *Index) create(ctx context.Context) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return known(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, tables); err != nil {
		return known(err)
	}
	for name, value := range map[string]string{"schema": schema, "incarnation": rand.Text(), "reserved": "1", "open": "0", "complete": "0"} {
		if _, err := tx.ExecContext(ctx, "INSERT INTO fact VALUES (?, ?)", name, value); err != nil {
			return known(err)
		}
	}
	return known(tx.Commit())
}

// renew makes an index of the schema before one of today's. What a study wants is found by the next look at it.
func (x *Index) renew(ctx context.Context) error {
	if made, err := x.fact(ctx, "schema"); err != nil || made != before {
		return err
	}
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return known(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, added); err != nil {
		return known(err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE fact SET value = ? WHERE name = 'schema'", schema); err != nil {
		return known(err)
	}
	return known(tx.Commit())
}

// readFacts reads what the index says of itself.
func (x *Index) readFacts(ctx context.Context) error {
	made, err := x.fact(ctx, "schema")
	if err != nil {
		return err
	}
	if made != schema {
		return fmt.Errorf("index of schema %q: %w", made, errSchema)
	}
	if x.Incarnation, err = x.fact(ctx, "incarnation"); err != nil {
		return err
	}
	complete, err := x.fact(ctx, "complete")
	if err != nil {
		return err
	}
	x.Fresh = complete == "0"
	reserved, err := x.fact(ctx, "reserved")
	if err != nil {
		return err
	}
	if x.reserved, err = strconv.ParseUint(reserved, 10, 63); err != nil {
		return fmt.Errorf("change numbers: %w", ErrDamaged)
	}
	return nil
}

func (x *Index) fact(ctx context.Context, name string) (value string, err error) {
	err = x.read.QueryRowContext(ctx, "SELECT value FROM fact WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("the index does not say its %s: %w", name, errSchema)
	}
	return value, known(err)
}

// checkAfterCrash reads the database over if the process that had it did not close it, and marks it as open.
func (x *Index) checkAfterCrash(ctx context.Context) error {
	open, err := x.fact(ctx, "open")
	if err != nil {
		return err
	}
	if open != "0" {
		if err := x.quickCheck(ctx); err != nil {
			return err
		}
	}
	return x.setFact(ctx, "open", "1")
}

func (x *Index) quickCheck(ctx context.Context) error {
	var said string
	if err := x.read.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&said); err != nil {
		return known(err)
	}
	if said != "ok" {
		return fmt.Errorf("index: %s: %w", said, ErrDamaged)
	}
	return nil
}

func (x *Index) setFact(ctx context.Context, name, value string) error {
	_, err := x.write.ExecContext(ctx, "UPDATE fact SET value = ? WHERE name = ?", value, name)
	return known(err)
}

// Complete says that the whole tree is in the index now.
func (x *Index) Complete(ctx context.Context) error {
	err := x.setFact(ctx, "complete", "1")
	x.Fresh = err != nil
	return err
}

// reservation is how many change numbers one durable write reserves.
const reservation = 1 << 20

// reserve makes durable that numbers below a limit may have been given, so that a power cut, which may take back the last changes,
// never makes a number stand for two of them.
func (x *Index) reserve(ctx context.Context) error {
	c, err := x.write.Conn(ctx)
	if err != nil {
		return known(err)
	}
	defer c.Close()
	for _, do := range []string{"PRAGMA synchronous=full", "UPDATE fact SET value = '" + strconv.FormatUint(x.next+reservation, 10) + "' WHERE name = 'reserved'",
		"PRAGMA synchronous=normal"} {
		if _, err := c.ExecContext(ctx, do); err != nil {
			return known(err)
		}
	}
	x.reserved = x.next + reservation
	return nil
}

// setAside gives the files of the database other names. One set aside before makes place.
func (x *Index) setAside() error {
	for _, tail := range []string{"", "-wal", "-shm"} {
		err := os.Rename(x.path()+tail, filepath.Join(x.dir, asideFile+tail))
		if os.IsNotExist(err) {
			err = os.Remove(filepath.Join(x.dir, asideFile+tail))
		}
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("set index aside: %w", err)
		}
	}
	return nil
}

// Close lets the state folder go.
func (x *Index) Close() error {
	var errs []error
	if x.write != nil {
		// Without the caller's context: also a command that was interrupted leaves a closed index.
		_, err := x.write.Exec("UPDATE fact SET value = '0' WHERE name = 'open'")
		errs = append(errs, known(err))
	}
	errs = append(errs, x.closeDatabase())
	if x.Digests != nil {
		errs = append(errs, x.Digests.Close())
	}
	if x.lock != nil {
		errs = append(errs, x.lock.Close())
	}
	if x.state != nil {
		errs = append(errs, x.state.Close())
	}
	x.Digests, x.lock, x.state = nil, nil, nil
	return errors.Join(errs...)
}

func (x *Index) closeDatabase() error {
	var errs []error
	for _, db := range []*sql.DB{x.read, x.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	x.read, x.write = nil, nil
	return errors.Join(errs...)
}

// known says of an SQLite error whether the database is damaged.
func known(err error) error {
	var failed *sqlite.Error
	if errors.As(err, &failed) {
		// The first: no such table or column. Our statements never change, so it is the database that has lost it, or never had it.
		const noSuch, corrupt, notDatabase = 1, 11, 26
		if c := failed.Code() & 0xFF; c == noSuch || c == corrupt || c == notDatabase {
			return fmt.Errorf("index: %w: %w", ErrDamaged, err)
		}
	}
	if err != nil && strings.HasPrefix(err.Error(), "sql: Scan error ") { // it holds what no column of ours can; package database/sql has no type for that
		return fmt.Errorf("index: %w: %w", ErrDamaged, err)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("index: %w", err)
	}
	return err
}
