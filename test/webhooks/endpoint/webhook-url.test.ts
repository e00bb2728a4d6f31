import { expect } from 'chai'
import {
  authorizationOf,
  type Credential,
  credentialProblem,
  urlProblem
} from '../../../src/webhooks/endpoint/webhook-url.js'

const bearer = (...urls: string[]): Credential => ({ type: 'bearer', token: 't', urls })

describe('the url of a webhook', () => {
  it('is one of http or https, without user, password and fragment, of at most 2,048 bytes', () => {
    const right = [
      'https://api.example.com/hooks/T0/abc',
      'http://10.0.0.5:9000/',
      'https://[2001:db8::1]/',
      'https://bücher.example/?next=a@b.example',
      'https://api.example.com/@team',
      `https://a.example/${'x'.repeat(2_048 - 18)}`
    ]
    expect(right.map(urlProblem)).to.deep.equal(right.map(() => undefined))
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['', /https:\/\/HOST\/PATH/],
      ['api.example.com/hooks', /https:\/\/HOST\/PATH/],
      ['ftp://a.example/', /https:\/\/HOST\/PATH/],
      ['file:///etc/passwd', /https:\/\/HOST\/PATH/],
      ['https://user@a.example/', /no user/],
      ['https://:secret@a.example/', /no user/],
      ['https://@a.example/', /no user/],
      ['https:\\\\user@a.example/', /no user/],
      ['https:a@b.example/', /no user/],
      [' https://user@a.example/', /no user/],
      ['https://a.example/#part', /fragment/],
      ['https://a.example/#', /fragment/],
      [`https://a.example/${'x'.repeat(2_049 - 18)}`, /2048 bytes/],
      [`https://a.example/${'ü'.repeat(1_020)}`, /2048 bytes/]
    ]
    for (const [text, problem] of wrong) expect(urlProblem(text), text).to.match(problem)
  })

  it('is in no text about it', () => {
    for (const text of [
      'https://u:hidden@a.example/',
      'https://a.example/hidden#x',
      'hidden',
      'https://hidden:99999999/'
    ])
      expect(urlProblem(text)).to.not.contain('hidden')
    expect(credentialProblem('https://a.example/hidden', bearer('https://b.example/'))).to.not.contain('hidden')
  })

  it('gets a credential where origin and path are within one of its urls', () => {
    const within: readonly (readonly [url: string, named: string])[] = [
      ['https://a.example/hooks', 'https://a.example/hooks'],
      ['https://a.example/hooks/', 'https://a.example/hooks'],
      ['https://a.example/hooks/x?y=..%2e', 'https://a.example/hooks/'],
      ['https://a.example:443/x', 'https://a.example/'],
      ['https://A.example/x', 'https://a.example'],
      ['https://a.example/x', 'https://a.example/?q'],
      ['http://a.example:9000/x', 'http://a.example:9000/']
    ]
    for (const [url, named] of within)
      expect(credentialProblem(url, bearer('https://other.example/', named)), url).to.equal(undefined)
    const outside: readonly (readonly [url: string, named: string])[] = [
      ['https://a.example/hooks2', 'https://a.example/hooks'],
      ['https://a.example/Hooks', 'https://a.example/hooks'],
      ['https://a.example/', 'https://a.example/hooks'],
      ['https://a.example/hooks', 'https://a.example/hooks/'],
      ['http://a.example/hooks', 'https://a.example/hooks'],
      ['https://a.example:8443/hooks', 'https://a.example/hooks'],
      ['https://b.a.example/hooks', 'https://a.example/hooks'],
      ['https://a.example.evil.example/hooks', 'https://a.example/hooks'],
      ['https://a.example/hooks;x', 'https://a.example/hooks'],
      ['https://a.example/hooks/.\t./x', 'https://a.example/hooks/']
    ]
    for (const [url, named] of outside)
      expect(credentialProblem(url, bearer(named)), `${url} ${named}`).to.match(/is not within/)
  })

  it('has no steps and no escaped dots and slashes in its path where it gets a credential', () => {
    const named = bearer('https://a.example/')
    for (const path of ['/a/../b', '/..', '/a%2eb', '/a%2Eb', '/%2e%2e/b', '/a%2fb', '/a%2Fb', '\\..\\b'])
      expect(credentialProblem(`https://a.example${path}`, named), path).to.match(/must have no/)
  })

  it('has credentials as bearer and basic say', () => {
    expect(authorizationOf({ type: 'bearer', token: 'abc', urls: [] })).to.equal('Bearer abc')
    expect(authorizationOf({ type: 'basic', username: 'ann', password: 'ü:1', urls: [] })).to.equal(
      `Basic ${Buffer.from('ann:ü:1').toString('base64')}`
    )
  })
})
