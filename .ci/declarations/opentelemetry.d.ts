/** What is named of `@opentelemetry/api`, which need not be installed. */
export interface Context {
  getValue(key: symbol): unknown
  setValue(key: symbol, value: unknown): Context
  deleteValue(key: symbol): Context
}
export type Span = object
export type Tracer = object
