package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/events"
)

// ErrUnreachable says that no agent answers at the socket of the state folder: it does not run, or not for this user.
var ErrUnreachable = errors.New("no agent answers")

// ErrUnknown says that the agent has nothing of what was asked for.
var ErrUnknown = errors.New("not known")

// largestAnswer bounds what is read of an agent.
const largestAnswer = 64 << 20

// Client asks the agent that owns a state folder. Its methods may be called from several goroutines; each asks once, and ctx bounds it.
type Client struct {
	state string
	http  http.Client
}

// NewClient is for the agent of a state folder. It touches nothing.
func NewClient(state string) *Client {
	c := &Client{state: state}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialSocket(ctx, state)
			if err != nil {
				return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, state, err)
			}
			return conn, nil
		},
		DisableKeepAlives: true,
	}
	return c
}

// Status asks how the site is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.get(ctx, "/status", nil, &s)
}

// Studies asks for a page of the list.
func (c *Client) Studies(ctx context.Context, q Query) ([]Row, error) {
	var rows []Row
	return rows, c.get(ctx, "/studies", url.Values{"after": {strconv.FormatUint(q.After, 10)}, "state": {q.State}, "limit": {strconv.Itoa(q.Limit)}}, &rows)
}

// Study asks about one study; ErrUnknown.
func (c *Client) Study(ctx context.Context, uid string) (Study, error) {
	var s Study
	return s, c.get(ctx, "/studies/"+url.PathEscape(uid), nil, &s)
}

// Events asks for the last limit events.
func (c *Client) Events(ctx context.Context, limit int) ([]events.Event, error) {
	var list []events.Event
	return list, c.get(ctx, "/events", url.Values{"limit": {strconv.Itoa(limit)}}, &list)
}

// Everywhere asks for the last limit events of all sites of the cluster.
func (c *Client) Everywhere(ctx context.Context, limit int) (Everywhere, error) {
	var all Everywhere
	return all, c.get(ctx, "/events/all", url.Values{"limit": {strconv.Itoa(limit)}}, &all)
}

// Follow calls each for the last limit events and then for every new one, until ctx ends, each returns an error, or the agent ends (nil).
func (c *Client) Follow(ctx context.Context, limit int, each func(events.Event) error) error {
	body, err := c.ask(ctx, http.MethodGet, "/events", url.Values{"limit": {strconv.Itoa(limit)}, "follow": {"true"}}, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // a sign of life
		}
		var e events.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return nil // an agent that ends cuts the stream, and that is all there is to say of it
}

// Wait asks the agent to answer when the condition holds, or when the time is over.
func (c *Client) Wait(ctx context.Context, what Condition, timeout time.Duration) (Answer, error) {
	var a Answer
	return a, c.get(ctx, "/wait", url.Values{"whole": {strconv.FormatBool(what.Whole)}, "level": {strconv.FormatBool(what.Level)},
		"settled": {strconv.FormatBool(what.Settled)}, "study": {what.Study}, "timeout": {timeout.String()}}, &a)
}

// Touch tells the agent that something was written of these studies. When it returns the agent knows.
func (c *Client) Touch(ctx context.Context, studies []string) error {
	text, err := json.Marshal(studies)
	if err != nil {
		return err
	}
	body, err := c.ask(ctx, http.MethodPost, "/touch", nil, text)
	if err != nil {
		return err
	}
	return body.Close()
}

// Diff asks what another site holds otherwise; ErrUnknown.
func (c *Client) Diff(ctx context.Context, site string, limit int) (Diff, error) {
	var d Diff
	return d, c.get(ctx, "/diff", url.Values{"site": {site}, "limit": {strconv.Itoa(limit)}}, &d)
}

// AckDown says that a site is down and not to be waited for until then; with the zero time, that it is waited for again. ErrUnknown.
func (c *Client) AckDown(ctx context.Context, o Order) error {
	query := url.Values{"site": {o.Site}}
	if !o.Until.IsZero() {
		query.Set("until", o.Until.UTC().Format(time.RFC3339))
	}
	return c.tell(ctx, "/ack-down", query, o.Recovery)
}

// Remove takes a site out of the cluster for ever; ErrUnknown.
func (c *Client) Remove(ctx context.Context, o Order) error {
	return c.tell(ctx, "/remove", url.Values{"site": {o.Site}}, o.Recovery)
}

// tell gives an order.
func (c *Client) tell(ctx context.Context, path string, query url.Values, recovery string) error {
	body, err := c.ask(ctx, http.MethodPost, path, query, []byte(recovery))
	if err != nil {
		return err
	}
	return body.Close()
}

// get asks for JSON.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.ask(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	err = json.NewDecoder(io.LimitReader(body, largestAnswer)).Decode(into)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w at %s: it ended", ErrUnreachable, c.state)
	}
	return err
}

// ask sends a request and returns the body of a good answer, which the caller closes.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, text []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+socketHost+"/api/v1"+path+"?"+query.Encode(), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		if inner := new(url.Error); errors.As(err, &inner) {
			err = inner.Err // without the address, which is no address
		}
		if !errors.Is(err, ErrUnreachable) && ctx.Err() == nil {
			err = fmt.Errorf("%w at %s: %w", ErrUnreachable, c.state, err) // it ended while it was asked
		}
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	why, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return nil, err
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", strings.TrimSpace(string(why)), ErrUnknown)
	case http.StatusServiceUnavailable:
		return nil, fmt.Errorf("%w at %s: %s", ErrUnreachable, c.state, strings.TrimSpace(string(why)))
	}
	return nil, errors.New(strings.TrimSpace(string(why)))
}
