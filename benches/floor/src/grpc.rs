//! Stock tonic and stock tonic-web: generated services on `tonic::transport::Server` with its defaults.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use prost::Message;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_web::GrpcWebLayer;

use v1::auth_server::{Auth, AuthServer};
use v1::products_server::{Products, ProductsServer};

pub async fn serve(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let floor = Floor::load(answers)?;
    let server = Server::builder().add_service(AuthServer::new(floor.clone())).add_service(ProductsServer::new(floor));
    Ok(server.serve(address).await?)
}

pub async fn serve_web(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let floor = Floor::load(answers)?;
    let server = Server::builder()
        .accept_http1(true)
        .layer(GrpcWebLayer::new())
        .add_service(AuthServer::new(floor.clone()))
        .add_service(ProductsServer::new(floor));
    Ok(server.serve(address).await?)
}

#[derive(Clone)]
struct Floor {
    verify: v1::VerifyResponse,
    whoami: v1::WhoAmIResponse,
    product: v1::GetProductResponse,
}

impl Floor {
    fn load(answers: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            verify: v1::VerifyResponse::decode(fs::read(answers.join("verify.pb"))?.as_slice())?,
            whoami: v1::WhoAmIResponse::decode(fs::read(answers.join("whoami.pb"))?.as_slice())?,
            product: v1::GetProductResponse::decode(fs::read(answers.join("product.pb"))?.as_slice())?,
        })
    }
}

#[tonic::async_trait]
impl Auth for Floor {
    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Result<Response<v1::VerifyResponse>, Status> {
        Ok(Response::new(self.verify.clone()))
    }

    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        Ok(Response::new(self.whoami.clone()))
    }
}

#[tonic::async_trait]
impl Products for Floor {
    async fn get_product(&self, _: Request<v1::GetProductRequest>) -> Result<Response<v1::GetProductResponse>, Status> {
        Ok(Response::new(self.product.clone()))
    }
}

#[allow(clippy::all, dead_code, reason = "generated for all of the API, of which three methods are called")]
mod v1 {
    tonic::include_proto!("gatepost.v1");
}
