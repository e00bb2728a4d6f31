import { loadDefinition } from '../../../src/apis/kafka-pixy/grpc/protocol.js'

const { service } = loadDefinition()

/** A request as a client of gRPC writes it. */
export const encodedRequest = (method: string, request: object): Buffer => service[method]!.requestSerialize(request)
