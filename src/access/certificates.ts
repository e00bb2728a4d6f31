import type { Socket } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import type { AuthSettings } from '../config/access-settings.js'
import type { Identity } from './identity.js'
import { toMatcher } from './pattern.js'
import { isPrincipal } from './principal.js'

/** What came of a certificate: whose it is, that it is nobody's, or that none was shown. */
export type CertificateOwner = Identity | 'unknown' | 'none'

interface Mapping {
  readonly principal: string | undefined
  readonly names: (certificate: PeerCertificate) => readonly string[]
  readonly matches: (name: string) => boolean
}

/** Tells by the client certificate of a connection who it is. TLS has verified it before. */
export class Certificates {
  readonly #mappings: readonly Mapping[]
  /** Reading a certificate costs more than the rest of a small request, and it never changes. */
  readonly #owners = new WeakMap<Socket, CertificateOwner>()

  constructor(certificates: AuthSettings['certificates']) {
    this.#mappings = certificates.map(({ principal, commonName, alternativeName }) => ({
      principal,
      names: commonName === undefined ? alternativeNames : commonNames,
      matches: toMatcher(commonName ?? alternativeName!)
    }))
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
    for (const { principal, names, matches } of this.#mappings) {
      const name = names(certificate).find(matches)
      if (name === undefined) continue
      const owner = principal ?? name
      return isPrincipal(owner) ? { principal: owner, method: 'certificate', validUntil } : 'unknown'
    }
    return 'unknown'
  }
}

// A subject may have several, which the declared type does not say.
const commonNames = ({ subject }: PeerCertificate): readonly string[] => {
  const { CN } = subject as { CN?: string | string[] }
  return CN === undefined ? [] : [CN].flat()
}

/**
 * `DNS:a.example.com, URI:spiffe://example.com/a`. A name with a comma or quote in it comes in quotes, and is left out:
 * no pattern can need it, and a name must not be able to look like two.
 */
const alternativeNames = ({ subjectaltname = '' }: PeerCertificate): readonly string[] =>
  subjectaltname.includes('"') ? [] : subjectaltname.split(', ').filter(name => name !== '')
