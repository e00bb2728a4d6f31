# net/http: `ruby client.rb keep URL STEP...`.
require 'net/http'

$stdout.sync = true
uri = URI(ARGV[1])
$http = Net::HTTP.new(uri.host, uri.port)
$http.keep_alive_timeout = 60
$http.continue_timeout = 60

# A body without a length, which is sent in chunks.
class Pieces
  def initialize(size, pause_ms = 0)
    @size = size
    @pause_ms = pause_ms
  end

  def readpartial(length, buffer = +'')
    sleep @pause_ms / 1000.0 if @size == 0
    raise EOFError if @size == 0
    n = [length, @size].min
    @size -= n
    buffer.replace('x' * n)
  end
end

def ask(method, path, kind = nil, size = 0)
  request = Net::HTTP.const_get(method.capitalize).new(path)
  request['content-type'] = 'text/plain'
  request['expect'] = '100-continue' if kind == 'expect'
  request['transfer-encoding'] = 'chunked' if kind&.end_with?('chunks')
  request['content-length'] = '1000' if kind == 'stall'
  case kind
  when 'length', 'expect' then request.body = 'x' * size.to_i
  when 'chunks' then request.body_stream = Pieces.new(size.to_i)
  when 'stall', 'stall-chunks' then request.body_stream = Pieces.new(10, size.to_i)
  end
  $http.start unless $http.started?
  answer = $http.request(request)
  text = answer.body.to_s
  "#{answer.code} #{text.bytesize} #{text if text.bytesize < 40}"
rescue StandardError => e
  $http.finish if $http.started?
  "error #{e}"
end

ARGV.drop(2).map(&:split).each do |words|
  words[0] == 'wait' ? sleep(words[1].to_i / 1000.0) : puts(ask(*words))
end
