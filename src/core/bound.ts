/** Binds each method to its object, for programs that take one from it: `const { stop } = app`. */
export function bound<Own extends object>(own: Own): Own {
  const members = Object.getOwnPropertyDescriptors<Record<string, unknown>>(Object.getPrototypeOf(own))
  for (const [name, { value }] of Object.entries(members)) {
    if (typeof value !== 'function' || name === 'constructor') continue
    Object.defineProperty(own, name, { value: value.bind(own), enumerable: true })
  }
  return own
}
