//! Single values of Arrow's columns, whatever width the writer chose.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// The text in row `i`; `None` where there is none.
pub(super) fn text(column: &dyn Array, i: usize) -> Option<String> {
    if column.is_null(i) {
        return None;
    }
    let value = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(i),
        DataType::LargeUtf8 => column.as_string::<i64>().value(i),
        DataType::Utf8View => column.as_string_view().value(i),
        _ => return None,
    };
    Some(value.to_string())
}

/// The bytes in row `i`; `None` where there are none.
pub(super) fn binary(column: &dyn Array, i: usize) -> Option<Vec<u8>> {
    if column.is_null(i) {
        return None;
    }
    let value = match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(i),
        DataType::LargeBinary => column.as_binary::<i64>().value(i),
        DataType::BinaryView => column.as_binary_view().value(i),
        _ => return None,
    };
    Some(value.to_vec())
}

/// The list in row `i`; `None` where there is none.
pub(super) fn list(column: &dyn Array, i: usize) -> Option<ArrayRef> {
    if column.is_null(i) {
        return None;
    }
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(i)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(i)),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(i)),
        _ => None,
    }
}

/// The number in row `i`; `None` where there is none.
pub(super) fn number(column: &dyn Array, i: usize) -> Option<f32> {
    if column.is_null(i) {
        return None;
    }
    macro_rules! of {
        ($($kind:ident: $t:ty),*) => {
            match column.data_type() {
                $(DataType::$kind => Some(column.as_primitive::<$t>().value(i) as f32),)*
                _ => None,
            }
        };
    }
    of!(
        Float32: Float32Type, Float64: Float64Type, Int8: Int8Type, Int16: Int16Type, Int32: Int32Type, Int64: Int64Type,
        UInt8: UInt8Type, UInt16: UInt16Type, UInt32: UInt32Type, UInt64: UInt64Type
    )
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, Float64Array, Int32Array, LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn values_are_read_in_every_width_and_gaps_are_none() {
        assert_eq!(text(&StringArray::from(vec![Some("a"), None]), 0).as_deref(), Some("a"));
        assert_eq!(text(&StringArray::from(vec![Some("a"), None]), 1), None);
        assert_eq!(text(&LargeStringArray::from(vec!["b"]), 0).as_deref(), Some("b"));
        assert_eq!(text(&Int32Array::from(vec![1]), 0), None);
        assert_eq!(binary(&BinaryArray::from(vec![b"xy".as_slice()]), 0), Some(b"xy".to_vec()));
        assert_eq!(number(&Float64Array::from(vec![Some(1.5), None]), 0), Some(1.5));
        assert_eq!(number(&Float64Array::from(vec![Some(1.5), None]), 1), None);
        assert_eq!(number(&Int32Array::from(vec![-3]), 0), Some(-3.0));
        assert_eq!(number(&StringArray::from(vec!["1"]), 0), None);
    }
}
