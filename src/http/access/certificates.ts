import type { Socket } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import { type Identity, isPrincipal } from './access.js'
import { toMatcher } from './rules.js'
import type { AuthSettings } from './settings.js'

/** The outcome for a certificate: its principal, not accepted, or no certificate was presented. */
export type CertificateOwner = Identity | 'unknown' | 'none'

interface Mapping {
  readonly principal: string | undefined
  readonly names: (certificate: PeerCertificate) => readonly string[]
  readonly matches: (name: string) => boolean
}

/** Finds the principal of a connection by its client certificate, which TLS has verified before. */
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
