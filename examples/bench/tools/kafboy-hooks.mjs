/** Splits the records of a request. */
export default {
  editJson: ({ json }) => ({ produce: { data: json.records.map(({ data }) => data) } })
}
