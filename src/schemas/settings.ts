import { z } from 'zod'
import { parseUrl } from '../core/parse-url.js'
import { nonEmpty, secret, yesOrNo } from '../core/settings/units.js'

const registryUrl = z.string().refine(isRegistryUrl, {
  error: 'write it as https://HOST:PORT/PATH, without user, password, ? and #'
})

function isRegistryUrl(text: string): boolean {
  const url = parseUrl(text)
  if (url === undefined) return false
  const { protocol, username, password, search, hash } = url
  return /^https?:$/.test(protocol) && username + password + search + hash === ''
}

const pemFile = nonEmpty.optional()

export const schemasSettings = z
  .strictObject({
    registry: z
      .strictObject({
        urls: z
          .array(registryUrl)
          .default([])
          .describe(
            'URLs of the schema registry, tried in turn: those of Confluent, Karapace, Redpanda, or Apicurio with its path `/apis/ccompat/v7`. Empty: there is none, and formats with schemas are refused'
          ),
        credentials: secret
          .optional()
          .describe('`USER:PASSWORD`, sent as basic authentication, or a text without a colon, sent as a bearer token')
          .meta({ secret: true }),
        caFile: pemFile.describe("PEM file of the certificate authorities to trust instead of Node's own list"),
        certFile: pemFile.describe('PEM file of the certificate to show to the registry; needs `keyFile`'),
        keyFile: pemFile.describe('PEM file of the private key that belongs to `certFile`')
      })
      .prefault({})
      .describe('The schema registry'),
    avro: z
      .strictObject({
        strict: yesOrNo(false).describe(
          "Takes Avro data in Avro's own JSON encoding only: values of unions with their type, and every field"
        )
      })
      .prefault({})
      .describe('Avro')
  })
  .prefault({})
  .describe('Records with schemas, explained in [schemas.md](schemas.md)')

export type SchemasSettings = z.output<typeof schemasSettings>
/** Options for a program without a configuration: the names of `schemas.*`. */
export type SchemasOptions = z.input<typeof schemasSettings>
