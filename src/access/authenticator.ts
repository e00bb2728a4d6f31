import { OverloadedError, UnauthenticatedError } from '../errors.js'
import { ANONYMOUS } from './access.js'
import { BearerTokens } from './bearer-tokens.js'
import { Certificates } from './certificates.js'
import { type Arrival, type Authentication, type Identity, isRefusal } from './identity.js'
import { type JsonWebTokens, looksLikeJwt } from './json-web-tokens.js'
import { type AuthSettings, requiresCredentials } from './settings.js'
import { parseLogin, Users } from './users.js'
import { VerificationQueue } from './verification-queue.js'

/**
 * How many verified credentials are remembered, so that a client pays for verifying a password or signature only once.
 */
const MAX_REMEMBERED = 10_000

const anonymous: Identity = { principal: ANONYMOUS, method: 'none', validUntil: Number.POSITIVE_INFINITY }

export interface AuthenticatorDeps {
  readonly settings: AuthSettings
  readonly tokens: JsonWebTokens
  /** Whether clients without credentials are admitted although authentication is configured. */
  readonly allowAnonymous: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Finds out who a client is, before its body is read. An `Authorization` header alone decides when there is one;
 * without it the client certificate counts, then the unix socket.
 */
export class Authenticator {
  readonly #deps: AuthenticatorDeps
  readonly #isRequired: boolean
  readonly #challenge: string
  readonly #bearerTokens: BearerTokens
  readonly #users: Users
  readonly #certificates: Certificates
  readonly #queue = new VerificationQueue()
  /**
   * Verified credentials by the whole header. Only verified ones are remembered, so guesses cannot evict them. The
   * hashes of a Map are seeded per process, so the time of a look-up tells nothing about other headers.
   */
  readonly #remembered = new Map<string, Identity>()
  /**
   * Verifications in progress, by the whole header: a client that opens many connections at once pays for one, and its
   * requests continue in the order in which they came.
   */
  readonly #verifying = new Map<string, Promise<Authentication>>()

  constructor(deps: AuthenticatorDeps) {
    const { settings } = deps
    this.#deps = deps
    this.#isRequired = requiresCredentials(settings)
    this.#challenge = toChallenge(settings)
    this.#bearerTokens = new BearerTokens(settings.tokens)
    this.#users = new Users(settings.users)
    this.#certificates = new Certificates(settings.certificates)
  }

  /**
   * Forgets all verified credentials and fetches the keys of issuers again: called when the operator says that they
   * have changed.
   */
  forget(): void {
    this.#remembered.clear()
    this.#deps.tokens.expireKeys()
  }

  authenticate(arrival: Arrival): Authentication | Promise<Authentication> {
    const { authorization } = arrival
    if (!this.#isRequired) return anonymous
    if (authorization === undefined) return this.#withoutHeader(arrival)
    const known = this.#remembered.get(authorization)
    if (known !== undefined) {
      if (known.validUntil === Number.POSITIVE_INFINITY || known.validUntil > this.#deps.now()) return known
      this.#remembered.delete(authorization)
    }
    const verifying = this.#verifying.get(authorization)
    if (verifying !== undefined) return verifying
    const [, scheme = '', credentials = ''] = authorization.match(/^([A-Za-z]+) +(\S+)$/) ?? []
    if (scheme.toLowerCase() === 'bearer') return this.#bearer(authorization, credentials)
    if (scheme.toLowerCase() === 'basic') return this.#basic(authorization, credentials, arrival.address)
    return this.#refusal('the Authorization header is neither Bearer nor Basic')
  }

  #withoutHeader({ socket, isUnixSocket }: Arrival): Authentication {
    const owner = this.#certificates.ownerOf(socket)
    if (owner === 'unknown') return this.#refusal('the client certificate is not known')
    if (owner !== 'none') {
      return owner.validUntil > this.#deps.now() ? owner : this.#refusal('the client certificate has expired')
    }
    const { unixSocketPrincipal } = this.#deps.settings
    if (isUnixSocket && unixSocketPrincipal !== undefined) {
      return { principal: unixSocketPrincipal, method: 'unixSocket', validUntil: Number.POSITIVE_INFINITY }
    }
    return this.#deps.allowAnonymous ? anonymous : this.#refusal('credentials are missing')
  }

  #bearer(authorization: string, token: string): Authentication | Promise<Authentication> {
    const identity = this.#bearerTokens.find(token)
    if (identity) return this.#accepted(authorization, identity)
    if (this.#deps.settings.issuers.length === 0 || !looksLikeJwt(token)) return this.#refusal('the token is not valid')
    return this.#verify(authorization, this.#verifyJwt(token))
  }

  async #verifyJwt(token: string): Promise<Authentication> {
    const result = await this.#deps.tokens.verify(token)
    return typeof result === 'string' ? this.#refusal(JWT_REFUSALS[result]) : result
  }

  #basic(authorization: string, credentials: string, address: string): Authentication | Promise<Authentication> {
    const login = this.#deps.settings.users.length > 0 ? parseLogin(credentials) : undefined
    if (!login) return this.#refusal(WRONG_LOGIN)
    const identity = this.#queue.run(address, () => this.#users.verify(login))
    if (!identity) return new OverloadedError('too many passwords are being verified')
    return this.#verify(
      authorization,
      identity.then(found => found ?? this.#refusal(WRONG_LOGIN))
    )
  }

  /** Everyone waiting gets the same promise, so that requests continue in their order. */
  #verify(authorization: string, result: Promise<Authentication>): Promise<Authentication> {
    const verifying = result
      .then(found => (isRefusal(found) ? found : this.#accepted(authorization, found)))
      .finally(() => this.#verifying.delete(authorization))
    this.#verifying.set(authorization, verifying)
    return verifying
  }

  #accepted(authorization: string, identity: Identity): Authentication {
    if (identity.validUntil <= this.#deps.now()) return this.#refusal('the token has expired')
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!)
    this.#remembered.set(authorization, identity)
    return identity
  }

  #refusal(message: string): UnauthenticatedError {
    return new UnauthenticatedError(message, this.#challenge)
  }
}

const WRONG_LOGIN = 'the user name or the password is wrong'
const JWT_REFUSALS = { expired: 'the token has expired', invalid: 'the token is not valid' } as const

/** The value of `WWW-Authenticate`: the configured ways to authenticate. */
function toChallenge({ realm, tokens, users, issuers }: AuthSettings): string {
  const challenges: string[] = []
  if (tokens.length + issuers.length > 0) challenges.push(`Bearer realm="${realm}"`)
  if (users.length > 0) challenges.push(`Basic realm="${realm}", charset="UTF-8"`)
  // There is no registered scheme for client certificates, but a 401 must carry the header.
  if (challenges.length === 0) challenges.push(`Certificate realm="${realm}"`)
  return challenges.join(', ')
}
