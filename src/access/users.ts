import type { AuthSettings } from '../config/access-settings.js'
import type { Identity } from './identity.js'
import { impossibleHash, type PasswordHash, parsePasswordHash, verifyPassword } from './passwords.js'

/** A user name and a password, as `Authorization: Basic` carries them. */
export interface Login {
  readonly username: string
  readonly password: string
}

/**
 * Reads what stands behind `Basic`: base64 of `USERNAME:PASSWORD` in UTF-8.
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

/** Users with passwords. */
export class Users {
  readonly #byName: ReadonlyMap<string, { readonly principal: string; readonly passwordHash: PasswordHash }>
  readonly #nobody: PasswordHash

  constructor(users: AuthSettings['users']) {
    this.#byName = new Map(
      users.map(({ username, principal = username, passwordHash }) => [
        username,
        { principal, passwordHash: parsePasswordHash(passwordHash) }
      ])
    )
    // Of the cost that others have, so that the time of an answer does not tell whether there is such a user.
    const [first] = this.#byName.values()
    this.#nobody = impossibleHash(first?.passwordHash.options)
  }

  /** Who logs in; `undefined`: the name or the password is wrong. Takes as long for a name nobody has. */
  async verify({ username, password }: Login): Promise<Identity | undefined> {
    const user = this.#byName.get(username)
    const isRight = await verifyPassword(password, user?.passwordHash ?? this.#nobody)
    if (!isRight || !user) return undefined
    return { principal: user.principal, method: 'password', validUntil: Number.POSITIVE_INFINITY }
  }
}
