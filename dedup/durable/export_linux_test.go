package durable

// Mute is mute, for a table.
var Mute = mute

// Walk makes o resolve names as where openat2 is forbidden.
func (o *OS) Walk() { o.openat2 = false }

// SyncClosed makes o sync each file as where syncfs is mute.
func (o *OS) SyncClosed() { o.syncClosed = true }

// RenameByLink is Rename as where the file system has no RENAME_NOREPLACE.
func (o *OS) RenameByLink(from, to string) error { return o.change2("rename", from, to, renameByLink) }
