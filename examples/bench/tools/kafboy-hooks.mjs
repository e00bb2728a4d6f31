/** Takes the records of a request apart. */
export default {
  editJson: ({ json }) => ({ produce: { data: json.records.map(({ data }) => data) } })
}
