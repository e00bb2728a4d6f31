import { expect } from 'chai'
import { parseUrl } from '../../src/core/parse-url.js'

describe('parseUrl', () => {
  it('parses a URL, and no other text', () => {
    expect(parseUrl('http://127.1:80/a?b')?.href).to.equal('http://127.0.0.1/a?b')
    for (const text of ['', 'a', '/a', 'http://', 'http://a:99999/']) expect(parseUrl(text), text).to.equal(undefined)
  })

  it('parses letters of all languages however often it is asked', () => {
    // `URL.canParse` of Node 20 goes wrong at about the 5,600th.
    const hosts = new Set(Array.from({ length: 20_000 }, () => parseUrl('https://bücher.example/')?.hostname))
    expect([...hosts]).to.deep.equal(['xn--bcher-kva.example'])
  })
})
