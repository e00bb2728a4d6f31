import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import { type CastellanError, ForbiddenError, OverloadedError, UnauthenticatedError } from '../../core/errors.js'
import {
  ANONYMOUS,
  type ArrivedRequest,
  type Authentication,
  type AuthRefusal,
  type Identity,
  isPrincipal,
  isRefusal
} from './access.js'
import type { JsonWebTokens } from './json-web-tokens.js'
import { toMatcher } from './rules.js'
import { type AuthSettings, requiresCredentials } from './settings.js'
import { BearerTokens, type Login, parseLogin, Users } from './stored-credentials.js'
import { RememberedCredentials, VerificationTurns, type VerifiedCredentials } from './verification.js'

const anonymous: Identity = { principal: ANONYMOUS, method: 'none', validUntil: Number.POSITIVE_INFINITY }

/** Three parts of base64url. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** Checks tokens of issuers. */
export type Tokens = Pick<JsonWebTokens, 'verify' | 'expireKeys'>
/** Without issuers the package that checks them is not loaded. */
export const NO_TOKENS: Tokens = { verify: async () => 'invalid', expireKeys: () => undefined }

export interface AuthenticatorDeps {
  readonly settings: AuthSettings
  readonly tokens: Tokens
  /** Whether clients without credentials are admitted although authentication is configured. */
  readonly allowAnonymous: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
}

type Verified = VerifiedCredentials | AuthRefusal

const knownOf = (settings: AuthSettings, tokens: Tokens) => ({
  settings,
  tokens,
  challenge: toChallenge(settings),
  bearerTokens: new BearerTokens(settings.tokens),
  users: new Users(settings.users),
  certificates: new CertificateOwners(settings.certificates)
})

/**
 * Identifies a client before its body is read. An `Authorization` header alone decides when there is one;
 * without it the client certificate counts, then the unix socket.
 */
export class Authenticator {
  readonly #allowAnonymous: boolean
  readonly #now: () => number
  readonly #turns = new VerificationTurns()
  readonly #remembered = new RememberedCredentials()
  /**
   * Verifications in progress: a client that opens many connections at once pays for one, and its requests continue in
   * the order in which they came.
   */
  #verifying = new Map<string, Promise<Authentication>>()
  #known: ReturnType<typeof knownOf>
  #isRequired: boolean

  constructor({ settings, tokens, allowAnonymous, now }: AuthenticatorDeps) {
    this.#allowAnonymous = allowAnonymous
    this.#now = now
    this.#known = knownOf(settings, tokens)
    this.#isRequired = requiresCredentials(settings)
  }

  /**
   * Uses other settings from now on, and fetches the keys of issuers again. Verified passwords of unchanged users are
   * remembered; everything else is verified again. Once credentials were needed, they stay needed: removing the last
   * token must not let all clients in.
   */
  replace(settings: AuthSettings, tokens: Tokens): void {
    this.#known = knownOf(settings, tokens)
    this.#isRequired ||= requiresCredentials(settings)
    this.#remembered.keep(({ user }) => user !== undefined && this.#known.users.has(user))
    this.#verifying = new Map()
    tokens.expireKeys()
  }

  authenticate(arrival: ArrivedRequest): Authentication | Promise<Authentication> {
    const { authorization } = arrival
    if (!this.#isRequired) return anonymous
    if (authorization === undefined) return this.#withoutHeader(arrival)
    const [, scheme = '', credentials = ''] = authorization.match(/^([A-Za-z]+) +(\S+)$/) ?? []
    if (scheme.toLowerCase() === 'bearer') return this.#bearer(credentials)
    if (scheme.toLowerCase() === 'basic') return this.#basic(credentials, arrival.address)
    return this.#refusal('the Authorization header is neither Bearer nor Basic')
  }

  /**
   * Why a client that was admitted under former settings may not continue. A signature is trusted without a new
   * verification, which accepts a revoked key for a minute at most. A password that needs a new verification has
   * changed, so it is refused.
   */
  refusalSince(arrival: ArrivedRequest, { principal, method }: Identity): CastellanError | undefined {
    const present = this.authenticate(arrival)
    if (present instanceof Promise) {
      present.catch(() => undefined)
      return method === 'password' ? this.#refusal('the password has changed, or its user is gone') : undefined
    }
    if (present instanceof UnauthenticatedError) return present
    if (isRefusal(present) || present.principal === principal) return undefined
    return new ForbiddenError('the credentials belong to another principal now')
  }

  #withoutHeader({ socket, isUnixSocket }: ArrivedRequest): Authentication {
    const { certificates, settings } = this.#known
    const owner = certificates.ownerOf(socket)
    if (owner === 'unknown') return this.#refusal('the client certificate is not known')
    if (owner !== 'none') {
      return owner.validUntil > this.#now() ? owner : this.#refusal('the client certificate has expired')
    }
    const { unixSocketPrincipal } = settings
    if (isUnixSocket && unixSocketPrincipal !== undefined) {
      return { principal: unixSocketPrincipal, method: 'unixSocket', validUntil: Number.POSITIVE_INFINITY }
    }
    return this.#allowAnonymous ? anonymous : this.#refusal('credentials are missing')
  }

  #bearer(token: string): Authentication | Promise<Authentication> {
    const { bearerTokens, settings } = this.#known
    const identity = bearerTokens.find(token)
    if (identity) return this.#valid(identity)
    if (settings.issuers.length === 0 || !JWT.test(token)) return this.#refusal('the token is not valid')
    return this.#verified(`bearer ${digestOf(token)}`, () => this.#verifyJwt(token))
  }

  async #verifyJwt(token: string): Promise<Verified> {
    const result = await this.#known.tokens.verify(token)
    if (typeof result === 'string') return this.#refusal(JWT_REFUSALS[result])
    return isRefusal(result) ? result : { identity: result }
  }

  #basic(credentials: string, address: string): Authentication | Promise<Authentication> {
    const login = this.#known.settings.users.length > 0 ? parseLogin(credentials) : undefined
    if (!login) return this.#refusal(WRONG_LOGIN)
    // Base64 has several ways to write the same bytes, and Unicode the same characters.
    const key = `basic ${digestOf(`${login.username}:${login.password.normalize('NFC')}`)}`
    return this.#verified(key, () => this.#verifyLogin(login, address))
  }

  /** @returns an error at once when too many wait */
  #verifyLogin(login: Login, address: string): Promise<Verified> | OverloadedError {
    const { users } = this.#known
    const found = this.#turns.run(address, () => users.verify(login))
    if (!found) return new OverloadedError('too many passwords are being verified')
    return found.then(loggedIn => loggedIn ?? this.#refusal(WRONG_LOGIN))
  }

  /** All requests that wait for a verification get the same promise, so that they continue in their order. */
  #verified(key: string, verify: () => Promise<Verified> | OverloadedError): Authentication | Promise<Authentication> {
    const known = this.#remembered.find(key, this.#now()) ?? this.#verifying.get(key)
    if (known !== undefined) return known
    const result = verify()
    if (result instanceof OverloadedError) return result
    const all = this.#verifying
    const verifying = result
      .then(found => (isRefusal(found) ? found : this.#accepted(key, found, all)))
      .finally(() => all.delete(key))
    all.set(key, verifying)
    return verifying
  }

  /** @param asked the verifications that were open at its start; results by former settings are not remembered */
  #accepted(key: string, verified: VerifiedCredentials, asked: ReadonlyMap<string, unknown>): Authentication {
    const accepted = this.#valid(verified.identity)
    if (!isRefusal(accepted) && asked === this.#verifying) this.#remembered.add(key, verified)
    return accepted
  }

  #valid(identity: Identity): Authentication {
    return identity.validUntil > this.#now() ? identity : this.#refusal('the token has expired')
  }

  #refusal(message: string): UnauthenticatedError {
    return new UnauthenticatedError(message, this.#known.challenge)
  }
}

const REALM = 'castellan'

const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64')

const WRONG_LOGIN = 'the user name or the password is wrong'
const JWT_REFUSALS = { expired: 'the token has expired', invalid: 'the token is not valid' } as const

/** The value of `WWW-Authenticate`: the configured ways to authenticate. */
function toChallenge({ tokens, users, issuers }: AuthSettings): string {
  const challenges: string[] = []
  if (tokens.length + issuers.length > 0) challenges.push(`Bearer realm="${REALM}"`)
  if (users.length > 0) challenges.push(`Basic realm="${REALM}", charset="UTF-8"`)
  // There is no registered scheme for client certificates, but a 401 must carry the header.
  if (challenges.length === 0) challenges.push(`Certificate realm="${REALM}"`)
  return challenges.join(', ')
}

type CertificateOwner = Identity | 'unknown' | 'none'

/** Finds the principal of a connection by its client certificate, which TLS has verified before. */
class CertificateOwners {
  /** Each gives the principal of a certificate that it is for. */
  readonly #mappings: readonly ((certificate: PeerCertificate) => string | undefined)[]
  /** Reading a certificate costs more than the rest of a small request, and it never changes. */
  readonly #owners = new WeakMap<Socket, CertificateOwner>()

  constructor(certificates: AuthSettings['certificates']) {
    this.#mappings = certificates.map(({ principal, commonName, alternativeName }) => {
      const namesOf = commonName === undefined ? alternativeNames : commonNames
      const matches = toMatcher(commonName ?? alternativeName!)
      return certificate => {
        const name = namesOf(certificate).find(matches)
        return name === undefined ? undefined : (principal ?? name)
      }
    })
  }

  ownerOf(socket: Socket): CertificateOwner {
    if (!(socket instanceof TLSSocket)) return 'none'
    const known = this.#owners.get(socket)
    if (known !== undefined) return known
    const owner = this.#find(socket)
    this.#owners.set(socket, owner)
    return owner
  }

  #find(socket: TLSSocket): CertificateOwner {
    const certificate = socket.getPeerCertificate() as PeerCertificate | undefined
    if (certificate?.subject === undefined) return 'none'
    if (!socket.authorized) return 'unknown'
    const validUntil = Date.parse(certificate.valid_to)
    for (const ownerOf of this.#mappings) {
      const owner = ownerOf(certificate)
      if (owner === undefined) continue
      return isPrincipal(owner) ? { principal: owner, method: 'certificate', validUntil } : 'unknown'
    }
    return 'unknown'
  }
}

// A subject may have several common names, although the declared type allows one.
const commonNames = ({ subject }: PeerCertificate): readonly string[] => {
  const { CN } = subject as { CN?: string | string[] }
  return CN === undefined ? [] : [CN].flat()
}

/**
 * `DNS:a.example.com, URI:spiffe://example.com/a`. A name with a comma or quote arrives quoted and is ignored: no
 * pattern needs it, and one name must not read as two.
 */
const alternativeNames = ({ subjectaltname = '' }: PeerCertificate): readonly string[] =>
  subjectaltname.includes('"') ? [] : subjectaltname.split(', ').filter(name => name !== '')
