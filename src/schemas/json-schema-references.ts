import { isObject } from './codec.js'
import { type Draft, type Members, schemasIn } from './json-schema-drafts.js'

/** An address counts once for each schema within it, since those within have it in front of their own. */
const MAX_ADDRESS_LENGTH = 1_000
const REFERENCES = ['$ref', '$dynamicRef', '$recursiveRef']

/**
 * Refuses references to what each object of JavaScript inherits, such as `#/constructor`: Ajv finds it, and it allows
 * every value.
 *
 * @param schemas all of a schema, by the draft of each
 * @throws Error for such a reference, or for an address that is too long
 */
export function requireOwn(schemas: readonly (readonly [schema: unknown, draft: Draft])[]): void {
  const homes: Members[] = []
  const references: [reference: string, home: Members][] = []
  for (const [schema, draft] of schemas) if (isObject(schema)) collect(schema as Members, draft, undefined)
  for (const [reference, home] of references)
    if (!isFound(reference, home, homes)) throw new Error(`can't resolve reference ${reference}`)

  /** @param outer the nearest schema around it with an address of its own */
  function collect(schema: Members, draft: Draft, outer: Members | undefined): void {
    const { [draft.idKeyword]: id } = schema
    if (typeof id === 'string' && id.length > MAX_ADDRESS_LENGTH)
      throw new Error(`the address of a schema has more than ${MAX_ADDRESS_LENGTH} characters`)
    const isHome = outer === undefined || (typeof id === 'string' && !id.startsWith('#'))
    const home = isHome ? schema : outer
    if (isHome) homes.push(schema)
    for (const name of REFERENCES) {
      const { [name]: reference } = schema
      if (typeof reference === 'string') references.push([reference, home])
    }
    for (const one of schemasIn(schema)) collect(one, draft, home)
  }
}

const isInherited = (name: string): boolean => name in Object.prototype

/** Whether a reference leads to something that is not inherited. For an address, any schema counts that has the target. */
function isFound(reference: string, home: Members, homes: readonly Members[]): boolean {
  const [address = '', ...rest] = reference.split('#')
  const names = rest.join('#').split('/').map(decoded)
  if (isInherited(address) || isInherited(names[0]!)) return false
  if (address === '') return has(home, names) !== 'inherited'
  return !names.some(isInherited) || homes.some(one => has(one, names) === 'own')
}

/** Whether a schema has something at a pointer. @param names of the pointer; the first one is empty */
function has(schema: unknown, [, ...names]: readonly string[]): 'own' | 'inherited' | 'nothing' {
  let at = schema
  for (const name of names) {
    const object = Object(at) as Members
    if (!Object.hasOwn(object, name)) return object[name] === undefined ? 'nothing' : 'inherited'
    at = object[name]
  }
  return 'own'
}

/** A part of a pointer as Ajv reads it, which refuses others. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return part
  }
}
