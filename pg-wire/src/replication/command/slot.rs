//! Commands for replication slots.

use core::fmt;

use super::Options;
use super::quote::Identifier;

/// `CREATE_REPLICATION_SLOT`: creates a replication slot. The server answers with one row:
/// [`CreatedSlot`](crate::replication::reply::CreatedSlot).
///
/// `K` is the kind of the slot, with its options: [`PhysicalSlot`] or [`LogicalSlot`].
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-CREATE-REPLICATION-SLOT)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateReplicationSlot<'a, K> {
    slot: &'a str,
    temporary: bool,
    kind: K,
}

/// Options of a physical slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysicalSlot {
    reserve_wal: bool,
}

/// Options of a logical slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalSlot<'a> {
    plugin: &'a str,
    snapshot: Option<Snapshot>,
    two_phase: bool,
    failover: bool,
}

/// Selects whether the server takes a snapshot when it creates a logical slot, and which sessions can use the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// The server exports the snapshot: the reply contains the name of the snapshot. Other sessions can use the snapshot until the next
    /// command on this connection. This is the server's default.
    Export,
    /// The current transaction uses the snapshot. The transaction must be new, with isolation level REPEATABLE READ.
    Use,
    /// The server takes no snapshot for the client.
    Nothing,
}

impl<'a> CreateReplicationSlot<'a, PhysicalSlot> {
    /// Creates the command for a slot for physical replication.
    pub const fn physical(slot: &'a str) -> Self {
        Self { slot, temporary: false, kind: PhysicalSlot { reserve_wal: false } }
    }

    /// Makes the slot keep the WAL from the creation of the slot on. Without this option, the slot keeps the WAL from the first use of the
    /// slot on.
    pub const fn reserve_wal(mut self) -> Self {
        self.kind.reserve_wal = true;
        self
    }

    /// Returns the command in the older syntax, without parentheses. All versions of PostgreSQL accept this syntax. Versions before 15
    /// accept no other syntax.
    pub const fn legacy(self) -> Legacy<'a, PhysicalSlot> {
        Legacy(self)
    }
}

impl<'a> CreateReplicationSlot<'a, LogicalSlot<'a>> {
    /// Creates the command for a slot for logical replication with the output plugin `plugin`, such as `pgoutput`.
    pub const fn logical(slot: &'a str, plugin: &'a str) -> Self {
        let kind = LogicalSlot { plugin, snapshot: None, two_phase: false, failover: false };
        Self { slot, temporary: false, kind }
    }

    /// Selects how the snapshot of the slot is used.
    pub const fn snapshot(mut self, snapshot: Snapshot) -> Self {
        self.kind.snapshot = Some(snapshot);
        self
    }

    /// Makes the server send a prepared transaction at its PREPARE TRANSACTION instead of at its commit. Requires PostgreSQL 15.
    pub const fn two_phase(mut self) -> Self {
        self.kind.two_phase = true;
        self
    }

    /// Makes the server copy the slot to standbys, so that the slot can be used after a failover. Requires PostgreSQL 17.
    pub const fn failover(mut self) -> Self {
        self.kind.failover = true;
        self
    }

    /// Returns the command in the older syntax, without parentheses. All versions of PostgreSQL accept this syntax. Versions before 15
    /// accept no other syntax. Returns `None` if [`failover`](Self::failover) is set, because the older syntax does not have this option.
    ///
    /// ```
    /// use pg_wire::replication::command::{CreateReplicationSlot, Snapshot};
    ///
    /// let create = CreateReplicationSlot::logical("cdc", "pgoutput").snapshot(Snapshot::Nothing);
    /// let legacy = create.legacy().expect("failover is not set").to_string();
    /// assert_eq!(legacy, r#"CREATE_REPLICATION_SLOT "cdc" LOGICAL "pgoutput" NOEXPORT_SNAPSHOT"#);
    /// assert!(create.failover().legacy().is_none());
    /// ```
    pub const fn legacy(self) -> Option<Legacy<'a, LogicalSlot<'a>>> {
        if self.kind.failover { None } else { Some(Legacy(self)) }
    }
}

impl<K: Copy> CreateReplicationSlot<'_, K> {
    /// Makes the slot temporary: the server drops the slot at the end of the session, or after an error.
    pub const fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let temporary = if self.temporary { " TEMPORARY" } else { "" };
        write!(f, "CREATE_REPLICATION_SLOT {}{temporary}", Identifier(self.slot))
    }
}

impl fmt::Display for CreateReplicationSlot<'_, PhysicalSlot> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        f.write_str(" PHYSICAL")?;
        let mut options = Options::new(f);
        if self.kind.reserve_wal {
            options.put(format_args!("RESERVE_WAL"))?;
        }
        options.finish()
    }
}

impl fmt::Display for CreateReplicationSlot<'_, LogicalSlot<'_>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        write!(f, " LOGICAL {}", Identifier(self.kind.plugin))?;
        let mut options = Options::new(f);
        match self.kind.snapshot {
            Some(Snapshot::Export) => options.put(format_args!("SNAPSHOT 'export'"))?,
            Some(Snapshot::Use) => options.put(format_args!("SNAPSHOT 'use'"))?,
            Some(Snapshot::Nothing) => options.put(format_args!("SNAPSHOT 'nothing'"))?,
            None => {}
        }
        if self.kind.two_phase {
            options.put(format_args!("TWO_PHASE"))?;
        }
        if self.kind.failover {
            options.put(format_args!("FAILOVER"))?;
        }
        options.finish()
    }
}

/// A [`CreateReplicationSlot`] in the older syntax, without parentheses. The method `legacy` returns this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy<'a, K>(CreateReplicationSlot<'a, K>);

impl fmt::Display for Legacy<'_, PhysicalSlot> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.head(f)?;
        f.write_str(if self.0.kind.reserve_wal { " PHYSICAL RESERVE_WAL" } else { " PHYSICAL" })
    }
}

impl fmt::Display for Legacy<'_, LogicalSlot<'_>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.head(f)?;
        write!(f, " LOGICAL {}", Identifier(self.0.kind.plugin))?;
        f.write_str(match self.0.kind.snapshot {
            Some(Snapshot::Export) => " EXPORT_SNAPSHOT",
            Some(Snapshot::Use) => " USE_SNAPSHOT",
            Some(Snapshot::Nothing) => " NOEXPORT_SNAPSHOT",
            None => "",
        })?;
        f.write_str(if self.0.kind.two_phase { " TWO_PHASE" } else { "" })
    }
}

/// `ALTER_REPLICATION_SLOT`: changes a logical slot. The server answers without a row. Requires PostgreSQL 17.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-ALTER-REPLICATION-SLOT)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlterReplicationSlot<'a> {
    slot: &'a str,
    two_phase: Option<bool>,
    failover: Option<bool>,
}

impl<'a> AlterReplicationSlot<'a> {
    /// Creates a command that changes the slot with the name `slot`. Set at least one option, because the server rejects this command
    /// without options.
    pub const fn new(slot: &'a str) -> Self {
        Self { slot, two_phase: None, failover: None }
    }

    /// Sets whether the server sends a prepared transaction at its PREPARE TRANSACTION. Requires PostgreSQL 18.
    pub const fn two_phase(mut self, on: bool) -> Self {
        self.two_phase = Some(on);
        self
    }

    /// Sets whether the server copies the slot to standbys.
    pub const fn failover(mut self, on: bool) -> Self {
        self.failover = Some(on);
        self
    }
}

impl fmt::Display for AlterReplicationSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER_REPLICATION_SLOT {}", Identifier(self.slot))?;
        let mut options = Options::new(f);
        options.switch("TWO_PHASE", self.two_phase)?;
        options.switch("FAILOVER", self.failover)?;
        options.finish()
    }
}

/// `READ_REPLICATION_SLOT`: reads the state of a physical slot. The server answers with one row:
/// [`SlotState`](crate::replication::reply::SlotState). Requires PostgreSQL 15.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-READ-REPLICATION-SLOT)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadReplicationSlot<'a>(pub &'a str);

impl fmt::Display for ReadReplicationSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "READ_REPLICATION_SLOT {}", Identifier(self.0))
    }
}

/// `DROP_REPLICATION_SLOT`: drops a slot. The server answers without a row.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-DROP-REPLICATION-SLOT)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReplicationSlot<'a> {
    /// Name of the slot.
    pub slot: &'a str,
    /// Whether the server waits while another session uses the slot. If `false` and the slot is in use, the server sends an error.
    pub wait: bool,
}

impl fmt::Display for DropReplicationSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wait = if self.wait { " WAIT" } else { "" };
        write!(f, "DROP_REPLICATION_SLOT {}{wait}", Identifier(self.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn slots_are_created_in_both_forms() {
        let physical = CreateReplicationSlot::physical("p\"q");
        assert_eq!(physical.to_string(), r#"CREATE_REPLICATION_SLOT "p""q" PHYSICAL"#);
        let physical = physical.temporary().reserve_wal();
        let head = r#"CREATE_REPLICATION_SLOT "p""q" TEMPORARY PHYSICAL"#;
        assert_eq!(physical.to_string(), [head, " (RESERVE_WAL)"].concat());
        assert_eq!(physical.legacy().to_string(), [head, " RESERVE_WAL"].concat());

        let logical = CreateReplicationSlot::logical("s", "pgoutput");
        let head = r#"CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput""#;
        assert_eq!(logical.to_string(), head);
        for (snapshot, new, old) in [
            (Snapshot::Export, "export", "EXPORT_SNAPSHOT"),
            (Snapshot::Use, "use", "USE_SNAPSHOT"),
            (Snapshot::Nothing, "nothing", "NOEXPORT_SNAPSHOT"),
        ] {
            let logical = logical.snapshot(snapshot).two_phase();
            assert_eq!(logical.to_string(), alloc::format!("{head} (SNAPSHOT '{new}', TWO_PHASE)"));
            let legacy = logical.legacy().expect("failover is not set").to_string();
            assert_eq!(legacy, alloc::format!("{head} {old} TWO_PHASE"));
        }
        assert_eq!(logical.failover().to_string(), [head, " (FAILOVER)"].concat());
    }

    #[test]
    fn slots_are_altered_read_and_dropped() {
        let alter = AlterReplicationSlot::new("s").failover(true);
        assert_eq!(alter.to_string(), r#"ALTER_REPLICATION_SLOT "s" (FAILOVER true)"#);
        let alter = alter.two_phase(false);
        assert_eq!(alter.to_string(), r#"ALTER_REPLICATION_SLOT "s" (TWO_PHASE false, FAILOVER true)"#);
        assert_eq!(ReadReplicationSlot("s").to_string(), r#"READ_REPLICATION_SLOT "s""#);
        let drop = DropReplicationSlot { slot: "s", wait: false };
        assert_eq!(drop.to_string(), r#"DROP_REPLICATION_SLOT "s""#);
        assert_eq!(
            DropReplicationSlot { wait: true, ..drop }.to_string(),
            r#"DROP_REPLICATION_SLOT "s" WAIT"#
        );
    }
}
