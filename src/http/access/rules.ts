import { getOrAdd, setNewest } from '../../core/maps.js'
import { MAX_TOPIC_LENGTH } from '../../core/model.js'
import { type AccessTarget, ANONYMOUS, type Operation } from './access.js'
import type { AccessSettings } from './settings.js'

/**
 * Answers remembered per principal and operation. Clients choose the names, so their number is bounded; names longer
 * than a legal topic are not remembered, which bounds the bytes.
 */
const MAX_REMEMBERED_TOPICS = 1_000

/** Principals whose grants are remembered; a token issuer may know any number of principals. */
const MAX_REMEMBERED_PRINCIPALS = 10_000

type Matcher = (name: string) => boolean

interface Rule {
  readonly isFor: Matcher
  readonly operations: ReadonlySet<Operation>
  readonly topics: Matcher
  readonly groups: Matcher
  readonly subjects: Matcher
}

/** All rules. Requests that no rule allows are refused. */
export class Rules {
  readonly #rules: readonly Rule[]
  readonly #grants = new Map<string, Grants>()

  constructor(rules: AccessSettings['rules']) {
    this.#rules = rules.map(({ principals, operations, topics, groups, subjects }) => ({
      isFor: toPrincipalMatcher(principals),
      operations: new Set(operations),
      topics: toAnyMatcher(topics),
      groups: toAnyMatcher(groups),
      subjects: toAnyMatcher(subjects)
    }))
  }

  grantsOf(principal: string): Grants {
    const known = this.#grants.get(principal)
    if (known) return known
    const grants = new Grants(this.#rules.filter(({ isFor }) => isFor(principal)))
    setNewest(this.#grants, principal, grants, MAX_REMEMBERED_PRINCIPALS)
    return grants
  }
}

/** `anonymous` is matched by its exact name only, never by a pattern. */
function toPrincipalMatcher(patterns: readonly string[]): Matcher {
  const matches = toAnyMatcher(patterns)
  const letsAnonymousIn = patterns.includes(ANONYMOUS)
  return principal => (principal === ANONYMOUS ? letsAnonymousIn : matches(principal))
}

export class Grants {
  readonly #rules: readonly Rule[]
  readonly #remembered = new Map<Operation, Map<string, boolean>>()

  constructor(rules: readonly Rule[]) {
    this.#rules = rules
  }

  get isAny(): boolean {
    return this.#rules.length > 0
  }

  allows(operation: Operation, { topic, group, subject }: AccessTarget): boolean {
    return this.#rules.some(
      ({ operations, topics, groups, subjects }) =>
        operations.has(operation) &&
        (topic === undefined || topics(topic)) &&
        (group === undefined || groups(group)) &&
        (subject === undefined || subjects(subject))
    )
  }

  /** {@link allows} for a topic without a group; remembers its answers. */
  allowsTopic(operation: Operation, topic: string): boolean {
    if (topic.length > MAX_TOPIC_LENGTH) return this.allows(operation, { topic })
    const answers = getOrAdd(this.#remembered, operation, () => new Map())
    const known = answers.get(topic)
    if (known !== undefined) return known
    const answer = this.allows(operation, { topic })
    if (answers.size < MAX_REMEMBERED_TOPICS) answers.set(topic, answer)
    return answer
  }
}

/**
 * A test for names: `*` in a pattern stands for any characters, also for none; everything else stands for itself.
 *
 *   orders     exactly orders
 *   shop-*     every name that begins with shop-
 *   *-audit    every name that ends with -audit
 *
 * No regular expression is made of it, so that no pattern can take more than linear time per `*`.
 */
export function toMatcher(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*')
  const first = parts[0]!
  if (parts.length === 1) return name => name === first
  const last = parts.at(-1)!
  const middle = parts.slice(1, -1).filter(part => part !== '')
  return name => matchesParts(name, first, middle, last)
}

function matchesParts(name: string, first: string, middle: readonly string[], last: string): boolean {
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (const part of middle) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

function toAnyMatcher(patterns: readonly string[]): (name: string) => boolean {
  const matchers = patterns.map(toMatcher)
  return name => matchers.some(matches => matches(name))
}
