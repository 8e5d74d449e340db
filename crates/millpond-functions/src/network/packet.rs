//! Packets of IPv4 with TCP or UDP: read, sent on under other addresses, and answered.
//!
//! They come from the kernel of this machine, made for who cannot make any by himself; nevertheless nothing that they say of themselves is believed.

use std::net::{Ipv4Addr, SocketAddrV4};

/// A header of IPv4 without options.
const IP_BYTES: usize = 20;

/// A header of TCP without options.
const TCP_BYTES: usize = 20;

const UDP_BYTES: usize = 8;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a packet is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp {
        /// It asks for a stream.
        opens: bool,
    },
    Udp,
}

/// Why a packet does not arrive (RFC 792, RFC 1812).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    Host = 1,
    Port = 3,
    Prohibited = 13,
}

/// A packet that is whole, and no fragment.
#[derive(Debug)]
pub struct Packet<'a> {
    bytes: &'a mut [u8],
    ip_bytes: usize,
    pub kind: Kind,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
}

impl<'a> Packet<'a> {
    /// Reads what came; none where it is anything else.
    pub fn read(bytes: &'a mut [u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let ip_bytes = usize::from(first & 15) * 4;
        if first >> 4 != 4 || ip_bytes < IP_BYTES || bytes.len() < ip_bytes + UDP_BYTES {
            return None;
        }
        let length = usize::from(two(bytes, 2));
        // More fragments, or an offset.
        if length < ip_bytes + UDP_BYTES || length > bytes.len() || two(bytes, 6) & 0x3fff != 0 {
            return None;
        }
        let bytes = &mut bytes[..length];
        let kind = match bytes[9] {
            TCP if length >= ip_bytes + TCP_BYTES => Kind::Tcp { opens: bytes[ip_bytes + 13] & 0x12 == 0x02 },
            UDP => Kind::Udp,
            _ => return None,
        };
        let at = |at: usize, port: usize| SocketAddrV4::new(four(bytes, at).into(), two(bytes, ip_bytes + port));
        let (source, destination) = (at(12, 0), at(16, 2));
        Some(Self { kind, source, destination, ip_bytes, bytes })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// What a datagram carries.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.ip_bytes + UDP_BYTES..]
    }

    /// Its IP header and the first eight bytes behind it: what a refusal tells of it.
    pub fn head(&self) -> Vec<u8> {
        self.bytes[..self.ip_bytes + UDP_BYTES].to_vec()
    }

    /// A segment of TCP under other addresses. The checksums follow (RFC 1624).
    pub fn readdress(&mut self, source: SocketAddrV4, destination: SocketAddrV4) {
        let segment = self.ip_bytes;
        for (at, port_at, new) in [(12, segment, source), (16, segment + 2, destination)] {
            for (half, value) in [(at, &new.ip().octets()[..2]), (at + 2, &new.ip().octets()[2..])] {
                let (old, new) = (two(self.bytes, half), two(value, 0));
                self.adjust(10, old, new);
                self.adjust(segment + 16, old, new);
                set(self.bytes, half, new);
            }
            self.adjust(segment + 16, two(self.bytes, port_at), new.port());
            set(self.bytes, port_at, new.port());
        }
        (self.source, self.destination) = (source, destination);
    }

    fn adjust(&mut self, checksum_at: usize, old: u16, new: u16) {
        let sum = u32::from(!two(self.bytes, checksum_at)) + u32::from(!old) + u32::from(new);
        set(self.bytes, checksum_at, !folded(sum));
    }

    /// The answer of a host where nobody listens, to a segment that opens a stream.
    pub fn reset(&self) -> Vec<u8> {
        let mut answer = header(TCP, *self.destination.ip(), *self.source.ip(), TCP_BYTES);
        answer.extend(self.destination.port().to_be_bytes());
        answer.extend(self.source.port().to_be_bytes());
        answer.extend([0; 4]);
        let number = u32::from_be_bytes(four(self.bytes, self.ip_bytes + 4));
        answer.extend(number.wrapping_add(1).to_be_bytes());
        // The header's length; RST and ACK; no window, checksum, or urgent data.
        answer.extend([5 << 4, 0x14, 0, 0, 0, 0, 0, 0]);
        let mut sum = sum(&answer[12..]);
        sum += u32::from(TCP) + TCP_BYTES as u32;
        set(&mut answer, IP_BYTES + 16, !folded(sum));
        answer
    }
}

/// That a packet, of which this is the head, does not arrive; `by` says so.
pub fn refusal(head: &[u8], by: Ipv4Addr, reason: Reason) -> Vec<u8> {
    let to = head.get(12..16).map_or([0; 4], |_| four(head, 12));
    let mut answer = header(ICMP, by, to.into(), 8 + head.len());
    answer.extend([3, reason as u8, 0, 0, 0, 0, 0, 0]);
    answer.extend(head);
    let checksum = !folded(sum(&answer[IP_BYTES..]));
    set(&mut answer, IP_BYTES + 2, checksum);
    answer
}

/// A datagram; none where it is too long for one.
pub fn datagram(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_BYTES + payload.len()).ok().filter(|length| usize::from(*length) + IP_BYTES <= 0xffff)?;
    let mut packet = header(UDP, *source.ip(), *destination.ip(), usize::from(length));
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(length.to_be_bytes());
    // Without a checksum (RFC 768): it goes through no wire.
    packet.extend([0, 0]);
    packet.extend(payload);
    Some(packet)
}

/// A header, for so many bytes behind it.
fn header(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Vec<u8> {
    let length = u16::try_from(IP_BYTES + length).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    // Not to be fragmented.
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let checksum = !folded(sum(&header));
    set(&mut header, 10, checksum);
    header
}

fn two(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The sum of RFC 1071, not folded. Of at most 64 KiB.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
}

fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    /// A segment with a payload, and its checksums as the kernel makes them.
    fn segment(source: SocketAddrV4, destination: SocketAddrV4, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = header(TCP, *source.ip(), *destination.ip(), TCP_BYTES + payload.len());
        packet.extend(source.port().to_be_bytes());
        packet.extend(destination.port().to_be_bytes());
        packet.extend(0xffff_fff0_u32.to_be_bytes());
        packet.extend([0, 0, 0, 0, 5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(payload);
        let length = packet.len() - IP_BYTES;
        let checksum = !folded(sum(&packet[12..]) + u32::from(TCP) + length as u32);
        set(&mut packet, IP_BYTES + 16, checksum);
        packet
    }

    fn is_sound(packet: &[u8]) -> bool {
        let length = (packet.len() - IP_BYTES) as u32;
        let inner = match packet[9] {
            ICMP => sum(&packet[IP_BYTES..]),
            protocol => sum(&packet[12..]) + u32::from(protocol) + length,
        };
        folded(sum(&packet[..IP_BYTES])) == 0xffff && folded(inner) == 0xffff
    }

    #[test]
    fn a_segment_that_is_readdressed_has_the_checksums_of_one_that_was_made_so() {
        let addresses = ["192.0.0.2:40000", "203.0.113.9:443", "255.255.0.1:1", "10.0.0.0:65535", "0.0.0.0:0"];
        for from in addresses {
            for to in addresses {
                for payload in [&b""[..], b"odd", b"even", &[0xff; 999]] {
                    let mut packet = segment(at("192.0.0.2:40000"), at("203.0.113.9:443"), 0x10, payload);
                    let mut read = Packet::read(&mut packet).unwrap();
                    read.readdress(at(from), at(to));
                    assert_eq!((read.source, read.destination), (at(from), at(to)));
                    assert!(is_sound(&packet), "{from} {to}");
                    let mut read_again = packet.clone();
                    let read = Packet::read(&mut read_again).unwrap();
                    assert_eq!((read.source, read.destination, read.kind), (at(from), at(to), Kind::Tcp { opens: false }));
                    assert_eq!(&packet[IP_BYTES + TCP_BYTES..], payload);
                }
            }
        }
    }

    #[test]
    fn what_opens_a_stream_is_told_from_its_answer() {
        for (flags, opens) in [(0x02, true), (0x12, false), (0x10, false), (0xc2, true), (0x04, false)] {
            let mut packet = segment(at("192.0.0.2:1"), at("203.0.113.9:2"), flags, b"");
            assert_eq!(Packet::read(&mut packet).unwrap().kind, Kind::Tcp { opens }, "{flags:x}");
        }
    }

    #[test]
    fn answers_are_sound_and_go_back() {
        let mut packet = segment(at("192.0.0.2:40000"), at("203.0.113.9:443"), 0x02, b"");
        let packet = Packet::read(&mut packet).unwrap();
        let mut reset = packet.reset();
        assert!(is_sound(&reset));
        assert_eq!(four(&reset, IP_BYTES + 8), 0xffff_fff1_u32.to_be_bytes());
        let read = Packet::read(&mut reset).unwrap();
        assert_eq!((read.source, read.destination), (packet.destination, packet.source));
        let refused = refusal(&packet.head(), Ipv4Addr::new(192, 0, 0, 4), Reason::Prohibited);
        assert!(is_sound(&refused));
        assert_eq!((four(&refused, 12), four(&refused, 16)), ([192, 0, 0, 4], [192, 0, 0, 2]));
        assert_eq!(refused[20..22], [3, 13]);
        assert_eq!(refused[28..], packet.head());
    }

    #[test]
    fn datagrams_are_read_as_they_were_made() {
        let (from, to) = (at("203.0.113.9:53"), at("192.0.0.2:40000"));
        for payload in [&b""[..], b"answer", &[7; 65_507]] {
            let mut packet = datagram(from, to, payload).unwrap();
            let read = Packet::read(&mut packet).unwrap();
            assert_eq!((read.kind, read.source, read.destination, read.payload()), (Kind::Udp, from, to, payload));
        }
        assert!(datagram(from, to, &[7; 65_508]).is_none());
    }

    #[test]
    fn what_is_cut_short_or_says_too_much_is_not_read() {
        let whole = segment(at("192.0.0.2:1"), at("203.0.113.9:2"), 0x02, b"payload");
        for length in 0..whole.len() {
            assert!(Packet::read(&mut whole[..length].to_vec()).is_none(), "{length}");
        }
        // Any byte of the header as anything: read or not, nothing else happens.
        for position in 0..IP_BYTES + TCP_BYTES {
            for value in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[position] = value;
                if let Some(mut packet) = Packet::read(&mut changed)
                    && packet.kind != Kind::Udp
                {
                    packet.readdress(at("10.0.0.1:1"), at("10.0.0.2:2"));
                    let _ = (packet.reset(), packet.head());
                }
            }
        }
    }
}
