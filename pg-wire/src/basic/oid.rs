//! Object ids of PostgreSQL's own types.
//!
//! These ids are the same in every database. The ids of functions, and of types that extensions or users create, can differ between
//! databases: look up these ids in the catalogs.
//!
//! [The catalog](https://www.postgresql.org/docs/current/catalog-pg-type.html)

/// An object identifier, such as the number of a type, a table or a function. 0 means "none" or "chosen by the server".
pub type Oid = u32;

macro_rules! types {
    ($($name:ident = $oid:literal, $type:literal;)*) => {
        $(#[doc = concat!("`", $type, "`")]
        pub const $name: Oid = $oid;)*

        /// Returns the name of the type in `pg_type`; `None` if the type is not one of PostgreSQL's own.
        pub fn name(oid: Oid) -> Option<&'static str> {
            match oid {
                $($oid => Some($type),)*
                _ => None,
            }
        }
    };
}

types! {
    BOOL = 16, "bool";
    BYTEA = 17, "bytea";
    CHAR = 18, "char";
    NAME = 19, "name";
    INT8 = 20, "int8";
    INT2 = 21, "int2";
    INT2VECTOR = 22, "int2vector";
    INT4 = 23, "int4";
    REGPROC = 24, "regproc";
    TEXT = 25, "text";
    OID = 26, "oid";
    TID = 27, "tid";
    XID = 28, "xid";
    CID = 29, "cid";
    OIDVECTOR = 30, "oidvector";
    PG_DDL_COMMAND = 32, "pg_ddl_command";
    JSON = 114, "json";
    XML = 142, "xml";
    XML_ARRAY = 143, "_xml";
    PG_NODE_TREE = 194, "pg_node_tree";
    JSON_ARRAY = 199, "_json";
    PG_TYPE_ARRAY = 210, "_pg_type";
    TABLE_AM_HANDLER = 269, "table_am_handler";
    PG_ATTRIBUTE_ARRAY = 270, "_pg_attribute";
    XID8_ARRAY = 271, "_xid8";
    PG_PROC_ARRAY = 272, "_pg_proc";
    PG_CLASS_ARRAY = 273, "_pg_class";
    INDEX_AM_HANDLER = 325, "index_am_handler";
    POINT = 600, "point";
    LSEG = 601, "lseg";
    PATH = 602, "path";
    BOX = 603, "box";
    POLYGON = 604, "polygon";
    LINE = 628, "line";
    LINE_ARRAY = 629, "_line";
    CIDR = 650, "cidr";
    CIDR_ARRAY = 651, "_cidr";
    FLOAT4 = 700, "float4";
    FLOAT8 = 701, "float8";
    UNKNOWN = 705, "unknown";
    CIRCLE = 718, "circle";
    CIRCLE_ARRAY = 719, "_circle";
    MACADDR8 = 774, "macaddr8";
    MACADDR8_ARRAY = 775, "_macaddr8";
    MONEY = 790, "money";
    MONEY_ARRAY = 791, "_money";
    MACADDR = 829, "macaddr";
    INET = 869, "inet";
    BOOL_ARRAY = 1000, "_bool";
    BYTEA_ARRAY = 1001, "_bytea";
    CHAR_ARRAY = 1002, "_char";
    NAME_ARRAY = 1003, "_name";
    INT2_ARRAY = 1005, "_int2";
    INT2VECTOR_ARRAY = 1006, "_int2vector";
    INT4_ARRAY = 1007, "_int4";
    REGPROC_ARRAY = 1008, "_regproc";
    TEXT_ARRAY = 1009, "_text";
    TID_ARRAY = 1010, "_tid";
    XID_ARRAY = 1011, "_xid";
    CID_ARRAY = 1012, "_cid";
    OIDVECTOR_ARRAY = 1013, "_oidvector";
    BPCHAR_ARRAY = 1014, "_bpchar";
    VARCHAR_ARRAY = 1015, "_varchar";
    INT8_ARRAY = 1016, "_int8";
    POINT_ARRAY = 1017, "_point";
    LSEG_ARRAY = 1018, "_lseg";
    PATH_ARRAY = 1019, "_path";
    BOX_ARRAY = 1020, "_box";
    FLOAT4_ARRAY = 1021, "_float4";
    FLOAT8_ARRAY = 1022, "_float8";
    POLYGON_ARRAY = 1027, "_polygon";
    OID_ARRAY = 1028, "_oid";
    ACLITEM = 1033, "aclitem";
    ACLITEM_ARRAY = 1034, "_aclitem";
    MACADDR_ARRAY = 1040, "_macaddr";
    INET_ARRAY = 1041, "_inet";
    BPCHAR = 1042, "bpchar";
    VARCHAR = 1043, "varchar";
    DATE = 1082, "date";
    TIME = 1083, "time";
    TIMESTAMP = 1114, "timestamp";
    TIMESTAMP_ARRAY = 1115, "_timestamp";
    DATE_ARRAY = 1182, "_date";
    TIME_ARRAY = 1183, "_time";
    TIMESTAMPTZ = 1184, "timestamptz";
    TIMESTAMPTZ_ARRAY = 1185, "_timestamptz";
    INTERVAL = 1186, "interval";
    INTERVAL_ARRAY = 1187, "_interval";
    NUMERIC_ARRAY = 1231, "_numeric";
    CSTRING_ARRAY = 1263, "_cstring";
    TIMETZ = 1266, "timetz";
    TIMETZ_ARRAY = 1270, "_timetz";
    BIT = 1560, "bit";
    BIT_ARRAY = 1561, "_bit";
    VARBIT = 1562, "varbit";
    VARBIT_ARRAY = 1563, "_varbit";
    NUMERIC = 1700, "numeric";
    REFCURSOR = 1790, "refcursor";
    REFCURSOR_ARRAY = 2201, "_refcursor";
    REGPROCEDURE = 2202, "regprocedure";
    REGOPER = 2203, "regoper";
    REGOPERATOR = 2204, "regoperator";
    REGCLASS = 2205, "regclass";
    REGTYPE = 2206, "regtype";
    REGPROCEDURE_ARRAY = 2207, "_regprocedure";
    REGOPER_ARRAY = 2208, "_regoper";
    REGOPERATOR_ARRAY = 2209, "_regoperator";
    REGCLASS_ARRAY = 2210, "_regclass";
    REGTYPE_ARRAY = 2211, "_regtype";
    RECORD = 2249, "record";
    CSTRING = 2275, "cstring";
    ANY = 2276, "any";
    ANYARRAY = 2277, "anyarray";
    VOID = 2278, "void";
    TRIGGER = 2279, "trigger";
    LANGUAGE_HANDLER = 2280, "language_handler";
    INTERNAL = 2281, "internal";
    ANYELEMENT = 2283, "anyelement";
    RECORD_ARRAY = 2287, "_record";
    ANYNONARRAY = 2776, "anynonarray";
    TXID_SNAPSHOT_ARRAY = 2949, "_txid_snapshot";
    UUID = 2950, "uuid";
    UUID_ARRAY = 2951, "_uuid";
    TXID_SNAPSHOT = 2970, "txid_snapshot";
    FDW_HANDLER = 3115, "fdw_handler";
    PG_LSN = 3220, "pg_lsn";
    PG_LSN_ARRAY = 3221, "_pg_lsn";
    TSM_HANDLER = 3310, "tsm_handler";
    PG_NDISTINCT = 3361, "pg_ndistinct";
    PG_DEPENDENCIES = 3402, "pg_dependencies";
    ANYENUM = 3500, "anyenum";
    TSVECTOR = 3614, "tsvector";
    TSQUERY = 3615, "tsquery";
    GTSVECTOR = 3642, "gtsvector";
    TSVECTOR_ARRAY = 3643, "_tsvector";
    GTSVECTOR_ARRAY = 3644, "_gtsvector";
    TSQUERY_ARRAY = 3645, "_tsquery";
    REGCONFIG = 3734, "regconfig";
    REGCONFIG_ARRAY = 3735, "_regconfig";
    REGDICTIONARY = 3769, "regdictionary";
    REGDICTIONARY_ARRAY = 3770, "_regdictionary";
    JSONB = 3802, "jsonb";
    JSONB_ARRAY = 3807, "_jsonb";
    ANYRANGE = 3831, "anyrange";
    EVENT_TRIGGER = 3838, "event_trigger";
    INT4RANGE = 3904, "int4range";
    INT4RANGE_ARRAY = 3905, "_int4range";
    NUMRANGE = 3906, "numrange";
    NUMRANGE_ARRAY = 3907, "_numrange";
    TSRANGE = 3908, "tsrange";
    TSRANGE_ARRAY = 3909, "_tsrange";
    TSTZRANGE = 3910, "tstzrange";
    TSTZRANGE_ARRAY = 3911, "_tstzrange";
    DATERANGE = 3912, "daterange";
    DATERANGE_ARRAY = 3913, "_daterange";
    INT8RANGE = 3926, "int8range";
    INT8RANGE_ARRAY = 3927, "_int8range";
    JSONPATH = 4072, "jsonpath";
    JSONPATH_ARRAY = 4073, "_jsonpath";
    REGNAMESPACE = 4089, "regnamespace";
    REGNAMESPACE_ARRAY = 4090, "_regnamespace";
    REGROLE = 4096, "regrole";
    REGROLE_ARRAY = 4097, "_regrole";
    REGCOLLATION = 4191, "regcollation";
    REGCOLLATION_ARRAY = 4192, "_regcollation";
    INT4MULTIRANGE = 4451, "int4multirange";
    NUMMULTIRANGE = 4532, "nummultirange";
    TSMULTIRANGE = 4533, "tsmultirange";
    TSTZMULTIRANGE = 4534, "tstzmultirange";
    DATEMULTIRANGE = 4535, "datemultirange";
    INT8MULTIRANGE = 4536, "int8multirange";
    ANYMULTIRANGE = 4537, "anymultirange";
    ANYCOMPATIBLEMULTIRANGE = 4538, "anycompatiblemultirange";
    PG_BRIN_BLOOM_SUMMARY = 4600, "pg_brin_bloom_summary";
    PG_BRIN_MINMAX_MULTI_SUMMARY = 4601, "pg_brin_minmax_multi_summary";
    PG_MCV_LIST = 5017, "pg_mcv_list";
    PG_SNAPSHOT = 5038, "pg_snapshot";
    PG_SNAPSHOT_ARRAY = 5039, "_pg_snapshot";
    XID8 = 5069, "xid8";
    ANYCOMPATIBLE = 5077, "anycompatible";
    ANYCOMPATIBLEARRAY = 5078, "anycompatiblearray";
    ANYCOMPATIBLENONARRAY = 5079, "anycompatiblenonarray";
    ANYCOMPATIBLERANGE = 5080, "anycompatiblerange";
    INT4MULTIRANGE_ARRAY = 6150, "_int4multirange";
    NUMMULTIRANGE_ARRAY = 6151, "_nummultirange";
    TSMULTIRANGE_ARRAY = 6152, "_tsmultirange";
    TSTZMULTIRANGE_ARRAY = 6153, "_tstzmultirange";
    DATEMULTIRANGE_ARRAY = 6155, "_datemultirange";
    INT8MULTIRANGE_ARRAY = 6157, "_int8multirange";
}

/// Types whose binary form is an unsigned number of four bytes. All types except the first three are also in [`OBJECTS`].
pub(crate) const UNSIGNED: &[Oid] = &[
    OID,
    XID,
    CID,
    REGCLASS,
    REGTYPE,
    REGPROC,
    REGPROCEDURE,
    REGOPER,
    REGOPERATOR,
    REGNAMESPACE,
    REGROLE,
    REGCONFIG,
    REGDICTIONARY,
    REGCOLLATION,
];

/// Types whose values are an `oid` in binary format. In text format, a value is the name of the object, or its `oid` if no such object
/// exists.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/datatype-oid.html)
pub(crate) const OBJECTS: &[Oid] = UNSIGNED.split_at(3).1;
