import { expect } from 'chai'
import { certificateViews } from '../../../src/server/app/process-status.js'
import { TestAuthority } from '../../support/certificates.js'

describe('certificates of a process', () => {
  const { cert } = new TestAuthority().issue({ commonName: 'one' })
  const withCert = (pem: string) => ({ name: 'east', connection: { current: { tls: { cert: pem } } } }) as never
  const sections = (ofPeers: string | undefined, ofLogin: string): string[] =>
    certificateViews(undefined, ofPeers, [withCert(ofLogin)]).map(({ of }) => of)

  it('are those for other gateways and for logins at brokers, each under its section', () => {
    expect(sections(cert, cert)).to.deep.equal(['peers.tlsDirectory', 'clusters.east.tls'])
    expect(sections(undefined, cert)).to.deep.equal(['clusters.east.tls'])
  })

  it('are left out where they cannot be read, as this is looked at by a timer', () => {
    const broken = cert.replace(/\n[A-Za-z0-9+/]{20}/, '\n')
    expect(sections(broken, 'no certificate at all')).to.deep.equal([])
  })
})
