import type { Identity } from './identity.js'
import { impossibleHash, type PasswordHash, parsePasswordHash, verifyPassword } from './passwords.js'
import type { AuthSettings } from './settings.js'

/** A user name and a password, as `Authorization: Basic` carries them. */
export interface Login {
  readonly username: string
  readonly password: string
}

/**
 * Decodes the credentials of `Basic`: base64 of `USERNAME:PASSWORD` in UTF-8.
 *
 * @returns `undefined` when it is something else
 */
export function parseLogin(text: string): Login | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  const decoded = Buffer.from(text, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  if (colon < 0) return undefined
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

/** Who has logged in. */
export interface LoggedIn {
  readonly identity: Identity
  /** The user as the settings have it, for {@link Users.has}. */
  readonly user: string
}

interface User {
  readonly principal: string
  readonly passwordHash: PasswordHash
  readonly text: string
}

/** Users with passwords. */
export class Users {
  readonly #byName: ReadonlyMap<string, User>
  readonly #texts: ReadonlySet<string>
  readonly #impossible: PasswordHash

  constructor(users: AuthSettings['users']) {
    this.#byName = new Map(
      users.map(({ username, principal = username, passwordHash }) => [
        username,
        {
          principal,
          passwordHash: parsePasswordHash(passwordHash),
          text: JSON.stringify([username, principal, passwordHash])
        }
      ])
    )
    this.#texts = new Set(Array.from(this.#byName.values(), ({ text }) => text))
    // Has the cost of the other hashes, so that the time of an answer does not reveal whether a user exists.
    const [first] = this.#byName.values()
    this.#impossible = impossibleHash(first?.passwordHash.options)
  }

  /**
   * The user who logs in; `undefined`: the name or the password is wrong. Takes as long for a name that does not
   * exist.
   */
  async verify({ username, password }: Login): Promise<LoggedIn | undefined> {
    const user = this.#byName.get(username)
    const isRight = await verifyPassword(password, user?.passwordHash ?? this.#impossible)
    if (!isRight || !user) return undefined
    const identity = { principal: user.principal, method: 'password', validUntil: Number.POSITIVE_INFINITY } as const
    return { identity, user: user.text }
  }

  /** Whether a user who has logged in elsewhere is here with the same principal and password. */
  has(user: string): boolean {
    return this.#texts.has(user)
  }
}
